//! Domain ⇄ contract: maps records to commands and events to records. Only this file knows both.

use contract::{
    ORDER_CANCELLED, ORDER_PLACED, OrderCancelled, OrderPlaced, PaymentDone, PaymentFailed,
    PaymentRefunded, PaymentUnderReview, STOCK_RESERVED, StockReserved,
};
use shared::{
    codec::{AvroCodec, EventMeta, RecordKind},
    fault::Fault,
    message::{Message, OutgoingMessage},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::payment::{
        BY_HAND, Currency, GatewayCharge, Money, PaymentCommand, PaymentEvent, PaymentFailure,
        PaymentTerms, PaymentToken,
    },
    request::PaymentAction,
};

/// The kinds of records that this service publishes.
pub(crate) fn writes() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<PaymentDone>(),
        RecordKind::of::<PaymentFailed>(),
        RecordKind::of::<PaymentRefunded>(),
        RecordKind::of::<PaymentUnderReview>(),
    ]
}

/// The kinds of records that this service reads.
pub(crate) fn reads() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<StockReserved>(),
        RecordKind::of::<OrderCancelled>(),
    ]
}

/// Why a record that could be decoded is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRecord {
    /// The total is less than nothing.
    #[error("total_minor is negative")]
    NegativeTotal,
    /// The currency is none.
    #[error("currency is not a code of three letters")]
    Currency,
    /// There is no means of payment.
    #[error("payment_method is empty")]
    NoMethod,
    /// The topic is not one that this service reads.
    #[error("{0} is not read here")]
    Topic(String),
}

/// The decoded content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentInput {
    pub(crate) order_id: Uuid,
    /// The action on the order's payment.
    pub(crate) action: PaymentAction,
}

/// Decodes a message. A record that no order can have caused is poison.
pub(crate) async fn decode(codec: &AvroCodec, message: &Message) -> Result<PaymentInput, Fault> {
    let (order_id, action) = match message.incoming.topic.as_str() {
        ORDER_PLACED => {
            let record: OrderPlaced = codec.decode(message).await?;
            let command = order_placed(&record).map_err(Fault::poison)?;
            (record.order_id, PaymentAction::Command(command))
        }
        STOCK_RESERVED => {
            let record: StockReserved = codec.decode(message).await?;
            (record.order_id, PaymentAction::Command(PaymentCommand::StockReserved))
        }
        ORDER_CANCELLED => {
            let record: OrderCancelled = codec.decode(message).await?;
            (record.order_id, PaymentAction::Cancel)
        }
        other => return Err(Fault::poison(InvalidRecord::Topic(other.to_owned()))),
    };
    message.check_subject(&order_id.to_string()).map_err(Fault::poison)?;
    Ok(PaymentInput { order_id, action })
}

/// The amount and means of payment of an order.
fn order_placed(record: &OrderPlaced) -> Result<PaymentCommand, InvalidRecord> {
    if record.total_minor < 0 {
        return Err(InvalidRecord::NegativeTotal);
    }
    if record.payment_method.is_empty() {
        return Err(InvalidRecord::NoMethod);
    }
    let currency = Currency::parse(&record.currency).ok_or(InvalidRecord::Currency)?;
    let amount = Money { minor: record.total_minor, currency };
    let terms = PaymentTerms { amount, method: PaymentToken::new(record.payment_method.as_str()) };
    Ok(PaymentCommand::OrderPlaced { terms })
}

/// The message for an event, if it is published; only then is the metadata asked for.
pub(crate) fn encode(
    codec: &AvroCodec,
    order_id: Uuid,
    event: &PaymentEvent,
    meta: impl FnOnce() -> EventMeta,
) -> Result<Option<OutgoingMessage>, Fault> {
    let message = match event {
        PaymentEvent::Free { terms } => {
            let charge = GatewayCharge::free(terms);
            let meta = meta();
            let record = payment_done(order_id, &charge.id, &charge.amount, meta.at);
            codec.message(meta, &record)?
        }
        PaymentEvent::Paid { charge: GatewayCharge { id, amount } }
        | PaymentEvent::Accepted { charge: GatewayCharge { id, .. }, amount } => {
            let meta = meta();
            let record = payment_done(order_id, id, amount, meta.at);
            codec.message(meta, &record)?
        }
        PaymentEvent::Failed { failure } => {
            let meta = meta();
            let (reason, code) = match failure.clone() {
                PaymentFailure::Declined { code } => ("declined", Some(code)),
                PaymentFailure::Unavailable => ("unavailable", None),
            };
            let record =
                PaymentFailed { order_id, reason: reason.to_owned(), code, failed_at: meta.at };
            codec.message(meta, &record)?
        }
        PaymentEvent::Refunded { charge, refund_id } => {
            let meta = meta();
            let record = payment_refunded(order_id, refund_id, charge, meta.at);
            codec.message(meta, &record)?
        }
        PaymentEvent::Settled { charge } => {
            let meta = meta();
            let record = payment_refunded(order_id, BY_HAND, charge, meta.at);
            codec.message(meta, &record)?
        }
        PaymentEvent::Mischarged { .. }
        | PaymentEvent::DoubtRemains
        | PaymentEvent::RefundFailed { .. } => {
            let Some((operation, reason)) = event.review() else { return Ok(None) };
            let meta = meta();
            let (operation, reason) = (operation.code().to_owned(), reason.to_owned());
            let record = PaymentUnderReview { order_id, operation, reason, since: meta.at };
            codec.message(meta, &record)?
        }
        PaymentEvent::Awaited { .. }
        | PaymentEvent::StockHeld
        | PaymentEvent::ChargeDue { .. }
        | PaymentEvent::ResolveDue { .. }
        | PaymentEvent::FoundUnpaid
        | PaymentEvent::Recalled
        | PaymentEvent::ChargeStopped
        | PaymentEvent::Abandoned
        | PaymentEvent::Fenced
        | PaymentEvent::RefundDue { .. } => return Ok(None),
    };
    Ok(Some(message))
}

fn payment_done(order_id: Uuid, charge: &str, amount: &Money, at: OffsetDateTime) -> PaymentDone {
    PaymentDone {
        order_id,
        charge_id: charge.to_owned(),
        amount_minor: amount.minor,
        currency: amount.currency.as_str().to_owned(),
        paid_at: at,
    }
}

fn payment_refunded(
    order_id: Uuid,
    refund: &str,
    charge: &GatewayCharge,
    at: OffsetDateTime,
) -> PaymentRefunded {
    PaymentRefunded {
        order_id,
        refund_id: refund.to_owned(),
        amount_minor: charge.amount.minor,
        currency: charge.amount.currency.as_str().to_owned(),
        refunded_at: at,
    }
}
