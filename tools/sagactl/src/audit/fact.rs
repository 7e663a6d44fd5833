//! Facts: the statements of each source about one order, as small records that can be sorted.
//!
//! **Invariant:** a record names order, service, topic, known words and numbers only: nothing
//! personal leaves the databases. Records sort by order, then by kind (in the order in which
//! [`FactStatement`] lists them), then by their fields, so the rows of an order come before the
//! messages about it.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::service_name::ServiceName;

/// A stage or a kind, as the databases write it.
pub(super) type KnownWord = &'static str;

/// The words that are known: stages of orders, reservations, payments and notices.
const STAGES: [&str; 4] = [
    "pending confirmed cancelled",
    "fenced reserved sold rejected released",
    "awaiting-stock awaiting-order charging cancelling unresolved done refunding refunded \
     needs-review failed abandoned",
    "waiting-for-contact due sent skipped",
];
pub(super) const NOTICE_KINDS: [KnownWord; 3] = ["confirmed", "cancelled", "refunded"];

/// One statement about one order (or about one product, whose key is a hash of its SKU).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct OrderFact {
    pub(super) order_id: Uuid,
    pub(super) statement: FactStatement,
}

/// The statement of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum FactStatement {
    Order {
        #[serde(deserialize_with = "word")]
        stage: KnownWord,
        total_minor: i64,
        due_ms: i64,
        lines: i64,
        said: i64,
    },
    Reservation {
        #[serde(deserialize_with = "word")]
        stage: KnownWord,
        lines: i64,
        said: i64,
    },
    Payment {
        #[serde(deserialize_with = "word")]
        stage: KnownWord,
        charged_minor: i64,
        said: i64,
    },
    /// notify-service's row: how many messages it has published about the order.
    Correspondence { said: i64 },
    /// What the customer was or will be told, and since when.
    Notice {
        #[serde(deserialize_with = "word")]
        kind: KnownWord,
        #[serde(deserialize_with = "word")]
        stage: KnownWord,
        at_ms: i64,
    },
    /// Numbers in the order's history of one source; -1 if some entries have none.
    Heard { source: ServiceName, numbers: i64 },
    /// Messages with the order's key that wait in the outbox of this service.
    InOutbox { service: ServiceName },
    /// A dead letter of this service, open or not, has the order's key.
    DeadLetter { service: ServiceName },
    /// A charge at the gateway.
    Charge { amount: i64, refunded: i64 },
    /// A mail in the sink.
    Mail {
        #[serde(deserialize_with = "word")]
        kind: KnownWord,
    },
    /// A message on a topic.
    Message(MessageFact),
}

/// Where a message is on its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct MessageFact {
    pub(super) source: ServiceName,
    pub(super) sequence: i64,
    /// Its place in the contract's list of topics.
    pub(super) topic: usize,
    pub(super) partition: i64,
    pub(super) offset: i64,
}

/// A word as it is written here; `unknown` if it is none that is known.
pub(super) fn known(name: &str) -> KnownWord {
    let mut words = STAGES.into_iter().flat_map(str::split_whitespace);
    words.find(|word| *word == name).unwrap_or("unknown")
}

fn word<'de, D: Deserializer<'de>>(from: D) -> Result<KnownWord, D::Error> {
    String::deserialize(from).map(|name| known(&name))
}

/// The place of a topic in the contract's list.
pub(super) fn topic_place(topic: &str) -> Option<usize> {
    contract::TOPICS.iter().position(|known| known.name == topic)
}

impl OrderFact {
    pub(super) fn new(order_id: Uuid, statement: FactStatement) -> Self {
        Self { order_id, statement }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_read_as_it_was_written() {
        let service = ServiceName::Payments;
        let message =
            MessageFact { source: service, sequence: 3, topic: 2, partition: 4, offset: 5 };
        for statement in [
            FactStatement::Order {
                stage: "confirmed",
                total_minor: 7,
                due_ms: 8,
                lines: -9,
                said: 2,
            },
            FactStatement::Reservation { stage: "sold", lines: -9, said: 1 },
            FactStatement::Payment { stage: "done", charged_minor: 7, said: 1 },
            FactStatement::Correspondence { said: 1 },
            FactStatement::Notice { kind: "cancelled", stage: "sent", at_ms: 5 },
            FactStatement::Heard { source: service, numbers: 4 },
            FactStatement::InOutbox { service },
            FactStatement::DeadLetter { service },
            FactStatement::Charge { amount: 7, refunded: 7 },
            FactStatement::Mail { kind: "refunded" },
            FactStatement::Message(message),
        ] {
            let written = serde_json::to_vec(&OrderFact::new(Uuid::max(), statement)).unwrap();
            let read: OrderFact = serde_json::from_slice(&written).unwrap();
            assert_eq!((read.order_id, read.statement), (Uuid::max(), statement));
        }
    }

    #[test]
    fn a_name_that_is_not_known_stays_unknown() {
        assert_eq!(known("lost"), "unknown");
        assert_eq!(known("pending"), "pending");
    }
}
