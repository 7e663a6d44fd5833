//! What may be asked of a payment, what may happen to it, and how it may refuse.

use super::{GatewayCharge, Money, PaymentFailure, PaymentTerms, RefundObstacle};

/// What may be asked of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentCommand {
    /// The order was placed.
    OrderPlaced {
        /// What is to be paid.
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
    Charged {
        /// What was paid.
        charge: GatewayCharge,
    },
    /// The charge job: the bank said no.
    Declined {
        /// The gateway's code.
        code: String,
    },
    /// The charge job was given up.
    GaveUp {
        /// Whether the charge may have happened all the same.
        in_doubt: bool,
    },
    /// The resolve job: it had happened, or has now.
    FoundCharged {
        /// What was paid.
        charge: GatewayCharge,
    },
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
        /// What stood in its way.
        obstacle: RefundObstacle,
    },
    /// The operator takes the amount that was charged for the right one.
    Accept,
    /// The operator wants the money given back; where nobody knows of a charge, looked for again.
    Refund,
    /// The operator says that the customer has the money: nothing was charged, or it went back by
    /// another way.
    Settle,
}

/// What has happened to a payment. Each has one effect outside, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// The order came first.
    Awaited {
        /// What is to be paid.
        terms: PaymentTerms,
    },
    /// The stock came first.
    StockHeld,
    /// Order and stock are known. Asks for the charge.
    ChargeDue {
        /// What is to be paid.
        terms: PaymentTerms,
    },
    /// Order and stock are known, and there is nothing to pay. Says `payment-done`.
    Free {
        /// What the order costs: nothing.
        terms: PaymentTerms,
    },
    /// Paid. Says `payment-done`.
    Paid {
        /// What was paid.
        charge: GatewayCharge,
    },
    /// An operator took another amount for the right one. Says `payment-done` with the amount that
    /// the order asked for: the order takes no other.
    Accepted {
        /// What was paid.
        charge: GatewayCharge,
        /// What counts as paid.
        amount: Money,
    },
    /// Not paid. Says `payment-failed`.
    Failed {
        /// Why.
        failure: PaymentFailure,
    },
    /// Another amount was charged than was asked for.
    Mischarged {
        /// What was paid.
        charge: GatewayCharge,
    },
    /// Nobody knows whether the charge happened. Asks for the resolve job.
    ResolveDue {
        /// What was to be paid.
        terms: PaymentTerms,
    },
    /// It has not happened and never will. The order has been told, or was cancelled.
    FoundUnpaid,
    /// Whether the charge happened cannot be found out without a person.
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
    RefundDue {
        /// What was paid.
        charge: GatewayCharge,
    },
    /// Given back. Says `payment-refunded`.
    Refunded {
        /// What was given back.
        charge: GatewayCharge,
        /// The gateway's name for the refund.
        refund_id: String,
    },
    /// The refund was given up.
    RefundFailed {
        /// What stood in its way.
        obstacle: RefundObstacle,
    },
    /// An operator says that the money went back by another way. Says `payment-refunded`, stops the
    /// refund.
    Settled {
        /// What was given back.
        charge: GatewayCharge,
    },
}

/// Why the answer is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentRejection {
    /// An outcome of something that was not under way.
    #[error("the payment is not at a stage where this can be its outcome")]
    OutOfTurn,
    /// The same key was charged twice.
    #[error("the payment has been charged under another charge id")]
    SecondCharge,
    /// The operator decided on what is not up for decision.
    #[error("the payment does not wait for this decision")]
    NotUnderReview,
}
