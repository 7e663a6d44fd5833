//! Commands, events and rejections of a payment.

use super::{
    CHARGE_IN_DOUBT, GatewayCharge, Money, PaymentFailure, PaymentTerms, RefundObstacle,
    ReviewReason, ReviewedOperation,
};

/// A command for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentCommand {
    /// The order was placed.
    OrderPlaced {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// The order's stock is held.
    StockReserved,
    /// The order was cancelled.
    OrderCancelled {
        /// Whether no attempt at the charge had an effect, or can have one from now on.
        charge_untouched: bool,
    },
    /// The charge job: paid.
    Charged { charge: GatewayCharge },
    /// The charge job: the bank said no.
    Declined { code: String },
    /// The charge job was given up.
    GaveUp {
        /// Whether the charge may have happened all the same.
        in_doubt: bool,
    },
    /// The resolve job: it had happened, or has now.
    FoundCharged { charge: GatewayCharge },
    /// The resolve job: it has not happened and never will.
    FoundNotCharged,
    /// The resolve job: the key is too old to be used again, and the gateway does not list a charge
    /// of this order.
    NotListed,
    /// The refund job: given back.
    Refunded {
        /// The gateway's name for the refund.
        refund_id: String,
    },
    /// The refund job was given up.
    RefundGaveUp {
        /// Why the refund was not possible.
        obstacle: RefundObstacle,
    },
    /// The operator accepts the charged amount as right.
    Accept,
    /// The operator wants the money given back; where nobody knows of a charge, looked for again.
    Refund,
    /// The operator says that the customer has the money: nothing was charged, or it went back by
    /// another way.
    Settle,
}

/// An event of a payment. Each event has at most one external effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// The order came first.
    Awaited {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// The stock came first.
    StockHeld,
    /// Order and stock are known. Asks for the charge.
    ChargeDue {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// Order and stock are known, and there is nothing to pay. Says `payment-done`.
    Free {
        /// The order's total: zero.
        terms: PaymentTerms,
    },
    /// The gateway took the money; publishes `payment-done`.
    Paid { charge: GatewayCharge },
    /// An operator took another amount for the right one. Says `payment-done` with the amount that
    /// the order asked for: the order takes no other.
    Accepted {
        charge: GatewayCharge,
        /// The amount that counts as paid.
        amount: Money,
    },
    /// Not paid. Says `payment-failed`.
    Failed { failure: PaymentFailure },
    /// Another amount was charged than was asked for. Says `payment-under-review`.
    Mischarged { charge: GatewayCharge },
    /// It is unknown whether the charge happened. Requests the resolve job.
    ResolveDue {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// The charge has not happened and never will. The order was notified, or was cancelled.
    FoundUnpaid,
    /// Whether the charge happened cannot be found out without a person. Says
    /// `payment-under-review`.
    DoubtRemains,
    /// The order was cancelled while the charge was being tried.
    Recalled,
    /// The order was cancelled before the charge was tried. Stops the charge.
    ChargeStopped,
    /// The order was cancelled and nothing was paid.
    Abandoned,
    /// The order was cancelled before anything was heard of it.
    Fenced,
    /// The money goes back. Asks for the refund.
    RefundDue { charge: GatewayCharge },
    /// Given back. Says `payment-refunded`.
    Refunded {
        charge: GatewayCharge,
        /// The gateway's name for the refund.
        refund_id: String,
    },
    /// The refund was given up. Says `payment-under-review`.
    RefundFailed {
        /// Why the refund was not possible.
        obstacle: RefundObstacle,
    },
    /// An operator says that the money went back by another way. Says `payment-refunded`, stops the
    /// refund.
    Settled { charge: GatewayCharge },
}

impl PaymentEvent {
    /// What waits for a person from this event on, and the name of the reason.
    pub fn review(&self) -> Option<(ReviewedOperation, &'static str)> {
        match self {
            Self::Mischarged { .. } => {
                Some((ReviewedOperation::Charge, ReviewReason::WrongAmount.code()))
            }
            Self::DoubtRemains => Some((ReviewedOperation::Charge, CHARGE_IN_DOUBT)),
            Self::RefundFailed { obstacle } => {
                Some((ReviewedOperation::Refund, ReviewReason::RefundFailed(*obstacle).code()))
            }
            Self::Awaited { .. }
            | Self::StockHeld
            | Self::ChargeDue { .. }
            | Self::Free { .. }
            | Self::Paid { .. }
            | Self::Accepted { .. }
            | Self::Failed { .. }
            | Self::ResolveDue { .. }
            | Self::FoundUnpaid
            | Self::Recalled
            | Self::ChargeStopped
            | Self::Abandoned
            | Self::Fenced
            | Self::RefundDue { .. }
            | Self::Refunded { .. }
            | Self::Settled { .. } => None,
        }
    }
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentRejection {
    /// An outcome of something that was not under way.
    #[error("the payment is not at a stage where this can be its outcome")]
    OutOfTurn,
    /// The same key was charged twice.
    #[error("the payment has been charged under another charge id")]
    SecondCharge,
    /// The operator's decision does not apply at this stage.
    #[error("the payment does not wait for this decision")]
    NotUnderReview,
}
