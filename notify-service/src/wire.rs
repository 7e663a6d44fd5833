//! The contract's records ⇄ what this service knows. The only file that knows both.

use shared::{
    codec::{self, Codec, Says},
    contract::{
        NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced,
        PaymentRefunded, Record as _,
    },
    fault::Fault,
    message::{Message, Outgoing},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::notification::{Addressee, CancelReason, Command, Event, Kind, Money, Occasion};

/// What is read.
pub(crate) const TOPICS: [&str; 4] =
    [OrderPlaced::TOPIC, OrderConfirmed::TOPIC, OrderCancelled::TOPIC, PaymentRefunded::TOPIC];

/// The kinds of records that are said.
pub(crate) fn says() -> [codec::Kind; 2] {
    [codec::Kind::of::<NotificationSent>(), codec::Kind::of::<NotificationFailed>()]
}

/// The kinds of records that are read.
pub(crate) fn reads() -> [codec::Kind; 4] {
    [
        codec::Kind::of::<OrderPlaced>(),
        codec::Kind::of::<OrderConfirmed>(),
        codec::Kind::of::<OrderCancelled>(),
        codec::Kind::of::<PaymentRefunded>(),
    ]
}

/// The channel of every notice so far.
const CHANNEL: &str = "email";

/// Why a message is not one for this service.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nothing is read from topic {0}")]
    Topic(String),
    #[error("its ce_subject is not the order that its body speaks of")]
    Subject,
}

/// Reads a message: the order, and what is asked by it.
pub(crate) async fn read(
    codec: &Codec,
    message: &Message,
    at: OffsetDateTime,
) -> Result<(Uuid, Command), Fault> {
    let (order_id, command) = match message.incoming.topic.as_str() {
        OrderPlaced::TOPIC => placed(codec.decode(message).await?, at),
        OrderConfirmed::TOPIC => confirmed(codec.decode(message).await?, at),
        OrderCancelled::TOPIC => cancelled(&codec.decode(message).await?, at),
        PaymentRefunded::TOPIC => refunded(codec.decode(message).await?, at),
        other => return Err(Fault::poison(Error::Topic(other.to_owned()))),
    };
    if Uuid::parse_str(&message.envelope.subject) != Ok(order_id) {
        return Err(Fault::poison(Error::Subject));
    }
    Ok((order_id, command))
}

fn placed(record: OrderPlaced, at: OffsetDateTime) -> (Uuid, Command) {
    let addressee = Addressee {
        email: record.email,
        name: record.customer_name,
        total: Money { minor: record.total_minor, currency: record.currency },
    };
    (record.order_id, Command::RecordContact { addressee, at })
}

fn confirmed(record: OrderConfirmed, at: OffsetDateTime) -> (Uuid, Command) {
    let total = Money { minor: record.total_minor, currency: record.currency };
    (record.order_id, Command::Tell { occasion: Occasion::Confirmed { total }, at })
}

fn cancelled(record: &OrderCancelled, at: OffsetDateTime) -> (Uuid, Command) {
    let reason = CancelReason::from_name(&record.reason);
    (record.order_id, Command::Tell { occasion: Occasion::Cancelled { reason }, at })
}

fn refunded(record: PaymentRefunded, at: OffsetDateTime) -> (Uuid, Command) {
    let amount = Money { minor: record.amount_minor, currency: record.currency };
    (record.order_id, Command::Tell { occasion: Occasion::Refunded { amount }, at })
}

/// The message by which it is told; none if it is not.
pub(crate) fn message(
    codec: &Codec,
    says: Says,
    order_id: Uuid,
    event: &Event,
) -> Result<Option<Outgoing>, Fault> {
    let names = |kind: Kind| (CHANNEL.to_owned(), kind.name().to_owned());
    match event {
        Event::Sent { kind, message_id, at } => {
            let (channel, kind) = names(*kind);
            let message_id = message_id.clone();
            let record = NotificationSent { order_id, channel, kind, message_id, sent_at: *at };
            codec.message(says, &record).map(Some)
        }
        Event::Failed { kind, reason, at } => {
            let (channel, kind) = names(*kind);
            let reason = reason.clone();
            let record = NotificationFailed { order_id, channel, kind, reason, failed_at: *at };
            codec.message(says, &record).map(Some)
        }
        Event::ContactKnown { .. }
        | Event::Deferred { .. }
        | Event::FellDue { .. }
        | Event::Skipped { .. } => Ok(None),
    }
}
