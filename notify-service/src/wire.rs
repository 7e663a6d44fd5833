//! The contract's records ⇄ what this service knows. The only file that knows both.

use shared::{
    codec::{self, Codec, Says},
    contract::{
        NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced,
        PaymentRefunded, Record as _, currency,
    },
    fault::Fault,
    message::{Message, Outgoing},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::notification::{Addressee, CancelReason, Command, Event, Kind, Money, Occasion};

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
    #[error("its currency is not a code of three capital letters")]
    Currency,
}

/// Reads a message: the order, and what is asked by it.
pub(crate) async fn read(
    codec: &Codec,
    message: &Message,
    at: OffsetDateTime,
) -> Result<(Uuid, Command), Fault> {
    let (order_id, command) = match message.incoming.topic.as_str() {
        OrderPlaced::TOPIC => placed(codec.decode(message).await?, at)?,
        OrderConfirmed::TOPIC => confirmed(codec.decode(message).await?, at)?,
        OrderCancelled::TOPIC => cancelled(&codec.decode(message).await?, at),
        PaymentRefunded::TOPIC => refunded(codec.decode(message).await?, at)?,
        other => return Err(Fault::poison(Error::Topic(other.to_owned()))),
    };
    if Uuid::parse_str(&message.envelope.subject) != Ok(order_id) {
        return Err(Fault::poison(Error::Subject));
    }
    Ok((order_id, command))
}

/// An amount that may stand in a mail: nothing else goes through as a currency. Whether ISO 4217 knows it is not
/// asked: the order was placed, and its customer is told.
fn money(minor: i64, currency: String) -> Result<Money, Fault> {
    if currency::is_code(&currency) {
        return Ok(Money { minor, currency });
    }
    Err(Fault::poison(Error::Currency))
}

fn placed(record: OrderPlaced, at: OffsetDateTime) -> Result<(Uuid, Command), Fault> {
    let total = money(record.total_minor, record.currency)?;
    let addressee = Addressee { email: record.email, name: record.customer_name, total };
    Ok((record.order_id, Command::RecordContact { addressee, at }))
}

fn confirmed(record: OrderConfirmed, at: OffsetDateTime) -> Result<(Uuid, Command), Fault> {
    let total = money(record.total_minor, record.currency)?;
    Ok((record.order_id, Command::Tell { occasion: Occasion::Confirmed { total }, at }))
}

fn cancelled(record: &OrderCancelled, at: OffsetDateTime) -> (Uuid, Command) {
    let reason = CancelReason::from_name(&record.reason);
    (record.order_id, Command::Tell { occasion: Occasion::Cancelled { reason }, at })
}

fn refunded(record: PaymentRefunded, at: OffsetDateTime) -> Result<(Uuid, Command), Fault> {
    let amount = money(record.amount_minor, record.currency)?;
    Ok((record.order_id, Command::Tell { occasion: Occasion::Refunded { amount }, at }))
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
