//! Domain ⇄ contract: maps records to commands and events to records. Only this file knows both.

use shared::{
    codec::{self, AvroCodec, EventMeta},
    contract::{
        NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced,
        PaymentRefunded, Record as _, currency,
    },
    fault::Fault,
    message::{Message, OutgoingMessage},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::notification::{
    CancelReason, CustomerContact, Money, NotificationCause, NotificationCommand,
    NotificationEvent, NotificationKind,
};

/// The kinds of records that this service publishes.
pub(crate) fn writes() -> [codec::RecordKind; 2] {
    [codec::RecordKind::of::<NotificationSent>(), codec::RecordKind::of::<NotificationFailed>()]
}

/// The kinds of records that this service consumes.
pub(crate) fn reads() -> [codec::RecordKind; 4] {
    [
        codec::RecordKind::of::<OrderPlaced>(),
        codec::RecordKind::of::<OrderConfirmed>(),
        codec::RecordKind::of::<OrderCancelled>(),
        codec::RecordKind::of::<PaymentRefunded>(),
    ]
}

/// The channel of every notice so far.
const CHANNEL: &str = "email";

/// Why a message is not one for this service.
#[derive(Debug, thiserror::Error)]
enum InvalidRecord {
    #[error("nothing is read from topic {0}")]
    Topic(String),
    #[error("its ce_subject is not the order that its body speaks of")]
    Subject,
    #[error("its currency is not a code of three capital letters")]
    Currency,
}

/// Decodes a message: the order, and the command for it.
pub(crate) async fn read(
    codec: &AvroCodec,
    message: &Message,
    at: OffsetDateTime,
) -> Result<(Uuid, NotificationCommand), Fault> {
    let (order_id, command) = match message.incoming.topic.as_str() {
        OrderPlaced::TOPIC => placed(codec.decode(message).await?, at)?,
        OrderConfirmed::TOPIC => confirmed(codec.decode(message).await?, at)?,
        OrderCancelled::TOPIC => cancelled(&codec.decode(message).await?, at),
        PaymentRefunded::TOPIC => refunded(codec.decode(message).await?, at)?,
        other => return Err(Fault::poison(InvalidRecord::Topic(other.to_owned()))),
    };
    if Uuid::parse_str(&message.envelope.subject) != Ok(order_id) {
        return Err(Fault::poison(InvalidRecord::Subject));
    }
    Ok((order_id, command))
}

/// An amount for a mail: the currency must be three capital letters. ISO 4217 is not checked: the
/// order was placed, and its customer is notified.
fn money(minor: i64, currency: String) -> Result<Money, Fault> {
    if currency::is_code(&currency) {
        return Ok(Money { minor, currency });
    }
    Err(Fault::poison(InvalidRecord::Currency))
}

fn placed(record: OrderPlaced, at: OffsetDateTime) -> Result<(Uuid, NotificationCommand), Fault> {
    let total = money(record.total_minor, record.currency)?;
    let addressee = CustomerContact { email: record.email, name: record.customer_name, total };
    Ok((record.order_id, NotificationCommand::RecordContact { addressee, at }))
}

fn confirmed(
    record: OrderConfirmed,
    at: OffsetDateTime,
) -> Result<(Uuid, NotificationCommand), Fault> {
    let total = money(record.total_minor, record.currency)?;
    Ok((
        record.order_id,
        NotificationCommand::Tell { occasion: NotificationCause::Confirmed { total }, at },
    ))
}

fn cancelled(record: &OrderCancelled, at: OffsetDateTime) -> (Uuid, NotificationCommand) {
    let reason = CancelReason::from_name(&record.reason);
    (
        record.order_id,
        NotificationCommand::Tell { occasion: NotificationCause::Cancelled { reason }, at },
    )
}

fn refunded(
    record: PaymentRefunded,
    at: OffsetDateTime,
) -> Result<(Uuid, NotificationCommand), Fault> {
    let amount = money(record.amount_minor, record.currency)?;
    Ok((
        record.order_id,
        NotificationCommand::Tell { occasion: NotificationCause::Refunded { amount }, at },
    ))
}

/// The message for an event; `None` if the event is not published.
pub(crate) fn message(
    codec: &AvroCodec,
    meta: EventMeta,
    order_id: Uuid,
    event: &NotificationEvent,
) -> Result<Option<OutgoingMessage>, Fault> {
    let names = |kind: NotificationKind| (CHANNEL.to_owned(), kind.name().to_owned());
    match event {
        NotificationEvent::Sent { kind, message_id, at } => {
            let (channel, kind) = names(*kind);
            let message_id = message_id.clone();
            let record = NotificationSent { order_id, channel, kind, message_id, sent_at: *at };
            codec.message(meta, &record).map(Some)
        }
        NotificationEvent::Failed { kind, reason, at } => {
            let (channel, kind) = names(*kind);
            let reason = reason.clone();
            let record = NotificationFailed { order_id, channel, kind, reason, failed_at: *at };
            codec.message(meta, &record).map(Some)
        }
        NotificationEvent::ContactKnown { .. }
        | NotificationEvent::Deferred { .. }
        | NotificationEvent::FellDue { .. }
        | NotificationEvent::Skipped { .. } => Ok(None),
    }
}
