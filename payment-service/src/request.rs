//! What is asked of a payment, by messages, jobs and operators alike.

use shared::message::TraceParent;
use uuid::Uuid;

use crate::domain::payment::PaymentCommand;

/// What is asked of one payment.
#[derive(Clone, Debug)]
pub struct PaymentRequest {
    /// The order that the payment is for.
    pub order_id: Uuid,
    /// What is asked.
    pub action: PaymentAction,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentAction {
    /// The order was cancelled. Whether its charge was tried is looked up in the transaction that
    /// executes this, under lock.
    Cancel,
    /// Anything that needs no looking up.
    Command(PaymentCommand),
}
