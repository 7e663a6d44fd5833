//! Facts: the statements of each source about one order, as small records that can be sorted.
//!
//! **Invariant:** a record has a fixed size and names order, service, topic and numbers only:
//! nothing personal leaves the databases. Records sort by order, then by kind, then by their
//! numbers, so the rows of an order come before the messages about it.

use std::io::{self, Read, Write};

use uuid::Uuid;

use super::service::ServiceName;

/// Stages of an order.
pub(super) const ORDER_STAGES: [&str; 3] = ["pending", "confirmed", "cancelled"];
/// Stages of a reservation.
pub(super) const RESERVATION_STAGES: [&str; 5] =
    ["fenced", "reserved", "sold", "rejected", "released"];
/// Stages of a payment.
pub(super) const PAYMENT_STAGES: [&str; 12] = [
    "awaiting-stock",
    "awaiting-order",
    "charging",
    "cancelling",
    "unresolved",
    "done",
    "refunding",
    "refunded",
    "needs-review",
    "failed",
    "abandoned",
    "fenced",
];
pub(super) const NOTICE_KINDS: [&str; 3] = ["confirmed", "cancelled", "refunded"];
/// Stages of a notice.
pub(super) const NOTICE_STAGES: [&str; 5] =
    ["waiting-for-contact", "due", "sent", "failed", "skipped"];

/// Bytes of one record.
pub(super) const RECORD_BYTES: usize = 16 + 1 + 8 * FIELDS;
const FIELDS: usize = 5;

/// One statement about one order (or about one product, whose key is a hash of its SKU).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderFact {
    pub(super) order_id: Uuid,
    kind: u8,
    fields: [i64; FIELDS],
}

/// The statement of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FactStatement {
    Order {
        stage: &'static str,
        total_minor: i64,
        due_ms: i64,
        lines: i64,
        said: i64,
    },
    Reservation {
        stage: &'static str,
        lines: i64,
        said: i64,
    },
    Payment {
        stage: &'static str,
        charged_minor: i64,
        said: i64,
    },
    /// notify-service's row: how many messages it has published about the order.
    Correspondence {
        said: i64,
    },
    /// What the customer was or will be told, and since when.
    Notice {
        kind: &'static str,
        stage: &'static str,
        at_ms: i64,
    },
    /// Numbers in the order's history of one source; -1 if some entries have none.
    Heard {
        source: ServiceName,
        numbers: i64,
    },
    /// Messages with the order's key that wait in the outbox of this service.
    InOutbox {
        service: ServiceName,
    },
    /// A dead letter of this service, open or not, has the order's key.
    DeadLetter {
        service: ServiceName,
    },
    /// A charge at the gateway.
    Charge {
        amount: i64,
        refunded: i64,
    },
    /// A mail in the sink.
    Mail {
        kind: &'static str,
    },
    /// A message on a topic.
    Message(MessageFact),
}

/// Where a message is on its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageFact {
    pub(super) source: ServiceName,
    pub(super) sequence: i64,
    /// Its place in the contract's list of topics.
    pub(super) topic: usize,
    pub(super) partition: i64,
    pub(super) offset: i64,
}

/// The place of a name in a list; a name that is not there has the place behind the last.
fn place(list: &[&str], name: &str) -> i64 {
    let place = list.iter().position(|known| *known == name).unwrap_or(list.len());
    i64::try_from(place).unwrap_or(i64::MAX)
}

fn named(list: &[&'static str], place: i64) -> &'static str {
    usize::try_from(place).ok().and_then(|place| list.get(place)).copied().unwrap_or("unknown")
}

/// A name from a list, as it is written there; `unknown` if it is not in it.
pub(super) fn known(list: &[&'static str], name: &str) -> &'static str {
    named(list, place(list, name))
}

fn service(place: i64) -> ServiceName {
    let known = usize::try_from(place).ok().and_then(|place| ServiceName::ALL.get(place));
    known.copied().unwrap_or(ServiceName::Orders)
}

fn number(service: ServiceName) -> i64 {
    place(&ServiceName::ALL.map(ServiceName::name), service.name())
}

/// The place of a topic in the contract's list.
pub(super) fn topic_place(topic: &str) -> Option<usize> {
    contract::TOPICS.iter().position(|known| known.name == topic)
}

impl OrderFact {
    pub(super) fn new(order_id: Uuid, statement: FactStatement) -> Self {
        use FactStatement as S;
        let (kind, fields) = match statement {
            S::Order { stage, total_minor, due_ms, lines, said } => {
                (0, [place(&ORDER_STAGES, stage), total_minor, due_ms, lines, said])
            }
            S::Reservation { stage, lines, said } => {
                (1, [place(&RESERVATION_STAGES, stage), lines, said, 0, 0])
            }
            S::Payment { stage, charged_minor, said } => {
                (2, [place(&PAYMENT_STAGES, stage), charged_minor, said, 0, 0])
            }
            S::Correspondence { said } => (3, [said, 0, 0, 0, 0]),
            S::Notice { kind, stage, at_ms } => {
                (4, [place(&NOTICE_KINDS, kind), place(&NOTICE_STAGES, stage), at_ms, 0, 0])
            }
            S::Heard { source, numbers } => (5, [number(source), numbers, 0, 0, 0]),
            S::InOutbox { service } => (6, [number(service), 0, 0, 0, 0]),
            S::DeadLetter { service } => (7, [number(service), 0, 0, 0, 0]),
            S::Charge { amount, refunded } => (8, [amount, refunded, 0, 0, 0]),
            S::Mail { kind } => (9, [place(&NOTICE_KINDS, kind), 0, 0, 0, 0]),
            S::Message(MessageFact { source, sequence, topic, partition, offset }) => {
                let topic = i64::try_from(topic).unwrap_or(i64::MAX);
                (10, [number(source), sequence, topic, partition, offset])
            }
        };
        Self { order_id, kind, fields }
    }

    pub(super) fn statement(&self) -> FactStatement {
        use FactStatement as S;
        let of = |field: usize| self.fields[field];
        match self.kind {
            0 => {
                let stage = named(&ORDER_STAGES, of(0));
                S::Order { stage, total_minor: of(1), due_ms: of(2), lines: of(3), said: of(4) }
            }
            1 => S::Reservation {
                stage: named(&RESERVATION_STAGES, of(0)),
                lines: of(1),
                said: of(2),
            },
            2 => S::Payment {
                stage: named(&PAYMENT_STAGES, of(0)),
                charged_minor: of(1),
                said: of(2),
            },
            3 => S::Correspondence { said: of(0) },
            4 => S::Notice {
                kind: named(&NOTICE_KINDS, of(0)),
                stage: named(&NOTICE_STAGES, of(1)),
                at_ms: of(2),
            },
            5 => S::Heard { source: service(of(0)), numbers: of(1) },
            6 => S::InOutbox { service: service(of(0)) },
            7 => S::DeadLetter { service: service(of(0)) },
            8 => S::Charge { amount: of(0), refunded: of(1) },
            9 => S::Mail { kind: named(&NOTICE_KINDS, of(0)) },
            _message => S::Message(MessageFact {
                source: service(of(0)),
                sequence: of(1),
                topic: usize::try_from(of(2)).unwrap_or(usize::MAX),
                partition: of(3),
                offset: of(4),
            }),
        }
    }

    pub(super) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let mut record = [0; RECORD_BYTES];
        let (head, fields) = record.split_at_mut(17);
        head[..16].copy_from_slice(self.order_id.as_bytes());
        head[16] = self.kind;
        for (bytes, field) in fields.chunks_exact_mut(8).zip(self.fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        to.write_all(&record)
    }

    pub(super) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut id = [0; 16];
        let mut kind = [0];
        from.read_exact(&mut id)?;
        from.read_exact(&mut kind)?;
        let mut fields = [0; FIELDS];
        for field in &mut fields {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            *field = i64::from_be_bytes(bytes);
        }
        Ok(Self { order_id: Uuid::from_bytes(id), kind: kind[0], fields })
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
            let mut written = Vec::new();
            OrderFact::new(Uuid::max(), statement).write(&mut written).unwrap();
            assert_eq!(written.len(), RECORD_BYTES);
            let read = OrderFact::read(written.as_slice()).unwrap();
            assert_eq!((read.order_id, read.statement()), (Uuid::max(), statement));
        }
    }

    #[test]
    fn a_name_that_is_not_known_stays_unknown() {
        assert_eq!(known(&ORDER_STAGES, "lost"), "unknown");
        assert_eq!(known(&ORDER_STAGES, "pending"), "pending");
    }
}
