//! A request to a payment, from messages, jobs or operators.

use shared::message::TraceContext;
use uuid::Uuid;

use crate::domain::payment::PaymentCommand;

/// A command for one payment, with its trace.
#[derive(Clone, Debug)]
pub struct PaymentRequest {
    /// The order that the payment is for.
    pub order_id: Uuid,
    pub action: PaymentAction,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentAction {
    /// The order was cancelled. Whether its charge was tried is looked up in the transaction that
    /// executes this, under lock.
    Cancel,
    /// A command that needs no lookup.
    Command(PaymentCommand),
}
