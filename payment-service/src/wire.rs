//! The domain's words ⇄ the records of the contract: the only file that knows both.

use shared::{
    codec::{Codec, Says},
    contract::{OrderPlaced, PaymentDone, PaymentFailed, PaymentRefunded},
    fault::Fault,
    message::Outgoing,
};
use uuid::Uuid;

use crate::domain::payment::{Charge, Command, Currency, Event, Failure, Money, Terms, Token};

/// What is wrong with a record that could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The total is less than nothing.
    #[error("total_minor is negative")]
    NegativeTotal,
    /// The currency is none.
    #[error("currency is not a code of three letters")]
    Currency,
    /// There is no means of payment.
    #[error("payment_method is empty")]
    NoMethod,
}

/// What an order asks to be paid.
pub(crate) fn order_placed(record: &OrderPlaced) -> Result<Command, Malformed> {
    if record.total_minor < 0 {
        return Err(Malformed::NegativeTotal);
    }
    if record.payment_method.is_empty() {
        return Err(Malformed::NoMethod);
    }
    let currency = Currency::parse(&record.currency).ok_or(Malformed::Currency)?;
    let amount = Money { minor: record.total_minor, currency };
    let terms = Terms { amount, method: Token::new(record.payment_method.as_str()) };
    Ok(Command::OrderPlaced { terms })
}

/// The message by which an event is told, if it is; only then is its outside asked for.
pub(crate) fn message(
    codec: &Codec,
    order_id: Uuid,
    event: &Event,
    says: impl FnOnce() -> Says,
) -> Result<Option<Outgoing>, Fault> {
    let message = match event {
        Event::Paid { charge } => {
            let says = says();
            let Charge { id: charge_id, amount } = charge.clone();
            let record = PaymentDone {
                order_id,
                charge_id,
                amount_minor: amount.minor,
                currency: amount.currency.as_str().to_owned(),
                paid_at: says.at,
            };
            codec.message(says, &record)?
        }
        Event::Failed { failure } => {
            let says = says();
            let (reason, code) = match failure.clone() {
                Failure::Declined { code } => ("declined", Some(code)),
                Failure::Unavailable => ("unavailable", None),
            };
            let record =
                PaymentFailed { order_id, reason: reason.to_owned(), code, failed_at: says.at };
            codec.message(says, &record)?
        }
        Event::Refunded { charge, refund_id } => {
            let says = says();
            let record = PaymentRefunded {
                order_id,
                refund_id: refund_id.clone(),
                amount_minor: charge.amount.minor,
                currency: charge.amount.currency.as_str().to_owned(),
                refunded_at: says.at,
            };
            codec.message(says, &record)?
        }
        Event::Awaited { .. }
        | Event::StockHeld
        | Event::ChargeDue { .. }
        | Event::Mischarged { .. }
        | Event::ResolveDue { .. }
        | Event::FoundUnpaid
        | Event::Recalled
        | Event::ChargeStopped
        | Event::Abandoned
        | Event::Fenced
        | Event::RefundDue { .. }
        | Event::RefundFailed => return Ok(None),
    };
    Ok(Some(message))
}
