//! The payment of one order, whatever messages arrive in whatever order.
//!
//! ```text
//!              placed                 reserved
//! unheard ───────────> awaiting stock ────────┐          ┌────────> done ──────────┐
//!    │ │   reserved                    placed v  charged │ accept                   │ cancelled
//!    │ └─────────────> awaiting order ──> charging ──────┼────────> needs review    │
//!    │                       │            │   │  │ wrong │ amount    │  refund      │
//!    │ cancelled             │  cancelled │   │  └───────┼────> failed              │
//!    v                       v            v   │ in doubt │ declined, refused        v
//!  fenced                abandoned <─ cancelling ──> unresolved ──found──> refunding ──> refunded
//!                                         └──────────charged──────────────────^ │ ^
//!                                                                  gave up      v │ refund
//!                                                                        needs review
//! ```
//!
//! An order that costs nothing is done without a charge. A charge with an unknown outcome, whose
//! key the gateway may have forgotten and which its list does not show, waits for a person (*charge
//! in doubt*).
//!
//! Read as a table:
//!
//! | stage | command | happens | said | job |
//! | --- | --- | --- | --- | --- |
//! | unheard | order placed, free order placed | awaiting stock | | |
//! | unheard | stock reserved | awaiting order | | |
//! | unheard | order cancelled, order cancelled untouched | fenced | | |
//! | awaiting stock | stock reserved | charging | | charge |
//! | awaiting order | order placed | charging | | charge |
//! | awaiting order | free order placed | done | `payment-done` | |
//! | free awaiting stock | stock reserved | done | `payment-done` | |
//! | awaiting stock, free awaiting stock, awaiting order | order cancelled, order cancelled untouched | abandoned | | |
//! | charging | charged | done | `payment-done` | |
//! | charging | charged wrongly | needs review (wrong amount) | `payment-under-review` | |
//! | charging | declined | failed (declined) | `payment-failed` | |
//! | charging | gave up | failed (unavailable) | `payment-failed` | |
//! | charging | gave up in doubt | failed (unavailable), unresolved | `payment-failed` | resolve |
//! | charging | order cancelled untouched | abandoned: no attempt at the charge had or may have had an effect | | charge is stopped |
//! | charging | order cancelled | cancelling | | |
//! | cancelling | charged, charged wrongly | refunding | | refund |
//! | cancelling | declined, gave up | abandoned | | |
//! | cancelling | gave up in doubt | unresolved | | resolve |
//! | unresolved | found charged | refunding | | refund |
//! | unresolved | found not charged | failed (unavailable) | | |
//! | unresolved | not listed | needs review (charge in doubt) | `payment-under-review` | |
//! | done | order cancelled, order cancelled untouched | refunding | | refund |
//! | free done | order cancelled, order cancelled untouched | abandoned | | |
//! | refunding | refunded | refunded | `payment-refunded` | |
//! | refunding | refund gave up | needs review (refund failed) | `payment-under-review` | |
//! | wrong amount | accept | done: for the order it is its total | `payment-done` | |
//! | wrong amount | refund | failed (unavailable), refunding | `payment-failed` | refund |
//! | wrong amount | order cancelled, order cancelled untouched | refunding | | refund |
//! | refund failed | refund | refunding | | refund |
//! | refund failed | refunded | refunded: by a redriven job | `payment-refunded` | |
//! | refund failed | settle | refunded: by hand | `payment-refunded` | refund is stopped |
//! | charge in doubt | refund | unresolved: looked for again | | resolve |
//! | charge in doubt | settle, found not charged | failed (unavailable) | | |
//! | charge in doubt | charged, charged wrongly, found charged | refunding | | refund |
//!
//! And whole: `+` as told above; `.` nothing, because it is a repeat or came late; `x` a
//! [`PaymentRejection`], because the gateway or we ourselves contradict what was said before.
//!
//! | stage | order placed | free order placed | stock reserved | order cancelled | order cancelled untouched | charged | charged wrongly | declined | gave up | gave up in doubt | found charged | found not charged | not listed | refunded | refund gave up | accept | refund | settle |
//! | --- | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - | - |
//! | unheard             | + | + | + | + | + | x | x | x | x | x | x | x | x | x | x | x | x | x |
//! | awaiting stock      | . | . | + | + | + | x | x | x | x | x | x | x | x | x | x | x | x | x |
//! | free awaiting stock | . | . | + | + | + | x | x | x | x | x | x | x | x | x | x | x | x | x |
//! | awaiting order      | + | + | . | + | + | x | x | x | x | x | x | x | x | x | x | x | x | x |
//! | charging            | . | . | . | + | + | + | + | + | + | + | x | x | x | x | x | x | x | x |
//! | cancelling          | . | . | . | . | . | + | + | + | + | + | x | x | x | x | x | x | x | x |
//! | unresolved          | . | . | . | . | . | . | . | . | . | . | + | + | + | x | x | x | . | x |
//! | done                | . | . | . | + | + | . | . | x | x | x | x | x | x | x | x | . | x | x |
//! | free done           | . | . | . | + | + | x | x | x | x | x | x | x | x | x | x | . | x | x |
//! | refunding           | . | . | . | . | . | . | . | x | x | x | . | x | x | + | + | x | . | x |
//! | refunded            | . | . | . | . | . | . | . | x | x | x | . | x | x | . | . | x | . | . |
//! | wrong amount        | . | . | . | + | + | . | . | x | x | x | . | x | x | x | x | + | + | x |
//! | refund failed       | . | . | . | . | . | . | . | x | x | x | . | x | x | + | . | x | + | + |
//! | charge in doubt     | . | . | . | . | . | + | + | . | . | . | + | + | . | x | x | x | + | + |
//! | failed              | . | . | . | . | . | x | x | . | . | . | x | . | . | x | x | x | x | . |
//! | abandoned           | . | . | . | . | . | x | x | . | . | . | x | x | x | x | x | x | x | x |
//! | fenced              | . | . | . | . | . | x | x | x | x | x | x | x | x | x | x | x | x | x |
//!
//! **Architecture invariant:** an order gets one result of its payment, `payment-done` or
//! `payment-failed`, and never `payment-done` after its cancellation was read. At most one charge
//! job is ever requested, and an outcome in doubt is resolved, never forgotten. Each time that it
//! begins to wait for a person, the order is told so.

use shared::decider::Decider;

pub use messages::{PaymentCommand, PaymentEvent, PaymentRejection};
pub use review::{CHARGE_IN_DOUBT, RefundObstacle, ReviewReason, ReviewedOperation};
pub use stage::PaymentStage;
pub use terms::{Currency, GatewayCharge, Money, PaymentTerms, PaymentToken};

mod decide;
mod messages;
mod review;
mod stage;
mod terms;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

/// Used in place of the gateway's refund id if an operator says that the money went back by another
/// way.
pub const BY_HAND: &str = "by-hand";

/// A payment: its stage, with the data that is known at that stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Nothing has been heard of it.
    Unheard,
    /// The order is known; its stock is not held yet.
    AwaitingStock {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// The stock is held; the order has not been read yet.
    AwaitingOrder,
    /// The charge job is on its way.
    Charging {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// The order was cancelled while the charge was being tried: its outcome decides.
    Cancelling {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// It is unknown whether the charge happened: the resolve job finds out.
    Unresolved {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    Done {
        /// The amount and means of payment.
        terms: PaymentTerms,
        charge: GatewayCharge,
    },
    /// The refund job is on its way.
    Refunding {
        /// The amount and means of payment.
        terms: PaymentTerms,
        charge: GatewayCharge,
    },
    /// Given back. The end.
    Refunded {
        /// The amount and means of payment.
        terms: PaymentTerms,
        charge: GatewayCharge,
        /// The gateway's name for the refund.
        refund_id: String,
    },
    /// A person has to decide.
    NeedsReview {
        /// The amount and means of payment.
        terms: PaymentTerms,
        charge: GatewayCharge,
        review: ReviewReason,
    },
    /// A person has to find out whether the charge happened.
    InDoubt {
        /// The amount and means of payment.
        terms: PaymentTerms,
    },
    /// Not paid. The end.
    Failed {
        /// The amount and means of payment.
        terms: PaymentTerms,
        failure: PaymentFailure,
    },
    /// The order was cancelled and nothing was paid. The end.
    Abandoned {
        /// The amount and means of payment, if known.
        terms: Option<PaymentTerms>,
    },
    /// The cancellation came first: nothing will ever be paid. The end.
    Fenced,
}

/// Why a payment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentFailure {
    /// The bank said no.
    Declined { code: String },
    /// The gateway could not be brought to answer, or to take the request at all.
    Unavailable,
}

impl Decider for Payment {
    type State = Payment;
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Rejection = PaymentRejection;

    fn initial() -> Payment {
        Payment::Unheard
    }

    fn decide(
        payment: &Payment,
        command: &PaymentCommand,
    ) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        match command {
            PaymentCommand::OrderPlaced { terms } => Ok(decide::order_placed(payment, terms)),
            PaymentCommand::StockReserved => Ok(decide::stock_reserved(payment)),
            PaymentCommand::OrderCancelled { charge_untouched } => {
                Ok(decide::order_cancelled(payment, *charge_untouched))
            }
            PaymentCommand::Charged { charge } => decide::charged(payment, charge),
            PaymentCommand::Declined { code } => decide::declined(payment, code),
            PaymentCommand::GaveUp { in_doubt } => decide::gave_up(payment, *in_doubt),
            PaymentCommand::FoundCharged { charge } => decide::found_charged(payment, charge),
            PaymentCommand::FoundNotCharged => decide::found_not_charged(payment),
            PaymentCommand::NotListed => decide::not_listed(payment),
            PaymentCommand::Refunded { refund_id } => decide::refunded(payment, refund_id),
            PaymentCommand::RefundGaveUp { obstacle } => decide::refund_gave_up(payment, *obstacle),
            PaymentCommand::Accept => decide::accept(payment),
            PaymentCommand::Refund => decide::refund(payment),
            PaymentCommand::Settle => decide::settle(payment),
        }
    }

    fn evolve(payment: Payment, event: &PaymentEvent) -> Payment {
        match event.clone() {
            PaymentEvent::Awaited { terms } => Payment::AwaitingStock { terms },
            PaymentEvent::StockHeld => Payment::AwaitingOrder,
            PaymentEvent::ChargeDue { terms } => Payment::Charging { terms },
            PaymentEvent::Free { terms } => {
                let charge = GatewayCharge::free(&terms);
                Payment::Done { terms, charge }
            }
            PaymentEvent::Paid { charge } | PaymentEvent::Accepted { charge, .. } => {
                Payment::Done { terms: payment.into_terms(), charge }
            }
            PaymentEvent::Failed { failure } => {
                Payment::Failed { terms: payment.into_terms(), failure }
            }
            PaymentEvent::Mischarged { charge } => {
                let (terms, review) = (payment.into_terms(), ReviewReason::WrongAmount);
                Payment::NeedsReview { terms, charge, review }
            }
            PaymentEvent::ResolveDue { terms } => Payment::Unresolved { terms },
            PaymentEvent::FoundUnpaid => Payment::Failed {
                terms: payment.into_terms(),
                failure: PaymentFailure::Unavailable,
            },
            PaymentEvent::DoubtRemains => Payment::InDoubt { terms: payment.into_terms() },
            PaymentEvent::Recalled => Payment::Cancelling { terms: payment.into_terms() },
            PaymentEvent::ChargeStopped | PaymentEvent::Abandoned => {
                Payment::Abandoned { terms: payment.terms().cloned() }
            }
            PaymentEvent::Fenced => Payment::Fenced,
            PaymentEvent::RefundDue { charge } => {
                Payment::Refunding { terms: payment.into_terms(), charge }
            }
            PaymentEvent::Refunded { charge, refund_id } => {
                Payment::Refunded { terms: payment.into_terms(), charge, refund_id }
            }
            PaymentEvent::Settled { charge } => {
                let refund_id = BY_HAND.to_owned();
                Payment::Refunded { terms: payment.into_terms(), charge, refund_id }
            }
            PaymentEvent::RefundFailed { obstacle } => {
                let Some(charge) = payment.charge().cloned() else {
                    unreachable!("no refund of {payment:?} can fail")
                };
                let (terms, review) = (payment.into_terms(), ReviewReason::RefundFailed(obstacle));
                Payment::NeedsReview { terms, charge, review }
            }
        }
    }
}

impl Payment {
    /// The amount and means of payment, if known.
    pub fn terms(&self) -> Option<&PaymentTerms> {
        match self {
            Self::AwaitingStock { terms }
            | Self::Charging { terms }
            | Self::Cancelling { terms }
            | Self::Unresolved { terms }
            | Self::Done { terms, .. }
            | Self::Refunding { terms, .. }
            | Self::Refunded { terms, .. }
            | Self::NeedsReview { terms, .. }
            | Self::InDoubt { terms }
            | Self::Failed { terms, .. } => Some(terms),
            Self::Abandoned { terms } => terms.as_ref(),
            Self::Unheard | Self::AwaitingOrder | Self::Fenced => None,
        }
    }

    pub fn charge(&self) -> Option<&GatewayCharge> {
        match self {
            Self::Done { charge, .. }
            | Self::Refunding { charge, .. }
            | Self::Refunded { charge, .. }
            | Self::NeedsReview { charge, .. } => Some(charge),
            Self::Unheard
            | Self::AwaitingStock { .. }
            | Self::AwaitingOrder
            | Self::Charging { .. }
            | Self::Cancelling { .. }
            | Self::Unresolved { .. }
            | Self::InDoubt { .. }
            | Self::Failed { .. }
            | Self::Abandoned { .. }
            | Self::Fenced => None,
        }
    }

    /// The gateway's name for the refund.
    pub fn refund_id(&self) -> Option<&str> {
        if let Self::Refunded { refund_id, .. } = self { Some(refund_id) } else { None }
    }

    /// Why a person has to decide what becomes of the charge.
    pub fn review(&self) -> Option<ReviewReason> {
        if let Self::NeedsReview { review, .. } = self { Some(*review) } else { None }
    }

    /// Why it was not paid.
    pub fn failure(&self) -> Option<&PaymentFailure> {
        if let Self::Failed { failure, .. } = self { Some(failure) } else { None }
    }

    fn into_terms(self) -> PaymentTerms {
        match self.terms() {
            Some(terms) => terms.clone(),
            None => unreachable!("nothing is charged before its terms are known: {self:?}"),
        }
    }
}
