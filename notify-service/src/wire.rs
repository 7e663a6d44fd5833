//! Domain ⇄ contract: maps records to commands and events to records. Only this file knows both.

use contract::{
    NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced,
    PaymentRefunded, currency,
};
use shared::{
    codec::{AvroCodec, EventMeta, Record as _, RecordKind},
    fault::Fault,
    message::{Message, OutgoingMessage, TraceContext},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::notification::{
        CancelReason, CustomerContact, Money, NotificationCause, NotificationCommand,
        NotificationEvent, NotificationKind,
    },
    request::NotificationRequest,
};

/// The kinds of records that this service publishes.
pub(crate) fn writes() -> Vec<RecordKind> {
    vec![RecordKind::of::<NotificationSent>(), RecordKind::of::<NotificationFailed>()]
}

/// The kinds of records that this service reads.
pub(crate) fn reads() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
        RecordKind::of::<PaymentRefunded>(),
    ]
}

/// The channel of every notice so far.
const CHANNEL: &str = "email";

/// Why a record that could be decoded is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRecord {
    /// The currency is none.
    #[error("its currency is not a code of three capital letters")]
    Currency,
    /// The topic is not one that this service reads.
    #[error("{0} is not read here")]
    Topic(String),
}

/// The decoded content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationInput {
    order_id: Uuid,
    content: InputContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum InputContent {
    /// The customer of an order.
    Contact(CustomerContact),
    /// Something to notify the customer of.
    Cause(NotificationCause),
}

impl NotificationInput {
    /// The request that follows from it at this moment.
    pub fn request(&self, at: OffsetDateTime, trace: Option<TraceContext>) -> NotificationRequest {
        let command = match self.content.clone() {
            InputContent::Contact(addressee) => {
                NotificationCommand::RecordContact { addressee, at }
            }
            InputContent::Cause(occasion) => NotificationCommand::Tell { occasion, at },
        };
        NotificationRequest { order_id: self.order_id, command, trace }
    }
}

/// Decodes a message. A record that no order can have caused is poison.
pub(crate) async fn decode(
    codec: &AvroCodec,
    message: &Message,
) -> Result<NotificationInput, Fault> {
    let (order_id, content) = match message.incoming.topic.as_str() {
        OrderPlaced::TOPIC => {
            let record: OrderPlaced = codec.decode(message).await?;
            let total = money(record.total_minor, record.currency)?;
            let (email, name) = (record.email, record.customer_name);
            (record.order_id, InputContent::Contact(CustomerContact { email, name, total }))
        }
        OrderConfirmed::TOPIC => {
            let record: OrderConfirmed = codec.decode(message).await?;
            let total = money(record.total_minor, record.currency)?;
            (record.order_id, InputContent::Cause(NotificationCause::Confirmed { total }))
        }
        OrderCancelled::TOPIC => {
            let record: OrderCancelled = codec.decode(message).await?;
            let reason = CancelReason::from_name(&record.reason);
            (record.order_id, InputContent::Cause(NotificationCause::Cancelled { reason }))
        }
        PaymentRefunded::TOPIC => {
            let record: PaymentRefunded = codec.decode(message).await?;
            let amount = money(record.amount_minor, record.currency)?;
            (record.order_id, InputContent::Cause(NotificationCause::Refunded { amount }))
        }
        other => return Err(Fault::poison(InvalidRecord::Topic(other.to_owned()))),
    };
    message.check_subject(&order_id.to_string()).map_err(Fault::poison)?;
    Ok(NotificationInput { order_id, content })
}

/// An amount for a mail: the currency must be three capital letters. ISO 4217 is not checked: the
/// order was placed, and its customer is notified.
fn money(minor: i64, currency: String) -> Result<Money, Fault> {
    if currency::is_code(&currency) {
        return Ok(Money { minor, currency });
    }
    Err(Fault::poison(InvalidRecord::Currency))
}

/// The message for an event, if it is published; only then is the metadata asked for.
pub(crate) fn encode(
    codec: &AvroCodec,
    order_id: Uuid,
    event: &NotificationEvent,
    meta: impl FnOnce() -> EventMeta,
) -> Result<Option<OutgoingMessage>, Fault> {
    let names = |kind: NotificationKind| (CHANNEL.to_owned(), kind.name().to_owned());
    match event {
        NotificationEvent::Sent { kind, message_id, at } => {
            let (channel, kind) = names(*kind);
            let message_id = message_id.clone();
            let record = NotificationSent { order_id, channel, kind, message_id, sent_at: *at };
            codec.message(meta(), &record).map(Some)
        }
        NotificationEvent::Failed { kind, reason, at } => {
            let (channel, kind) = names(*kind);
            let reason = reason.clone();
            let record = NotificationFailed { order_id, channel, kind, reason, failed_at: *at };
            codec.message(meta(), &record).map(Some)
        }
        NotificationEvent::ContactKnown { .. }
        | NotificationEvent::Deferred { .. }
        | NotificationEvent::FellDue { .. }
        | NotificationEvent::Skipped { .. } => Ok(None),
    }
}
