//! One payment for one order, whatever comes in whatever order.
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
//! An order that costs nothing is done without a charge. A doubt that is older than the gateway's
//! memory of its keys, and of which its list says nothing, waits for a person (*charge in doubt*).
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
//! | charging | charged wrongly | needs review (wrong amount) | | |
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
//! | unresolved | not listed | needs review (charge in doubt) | | |
//! | done | order cancelled, order cancelled untouched | refunding | | refund |
//! | free done | order cancelled, order cancelled untouched | abandoned | | |
//! | refunding | refunded | refunded | `payment-refunded` | |
//! | refunding | refund gave up | needs review (refund failed) | | |
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
//! [`Rejection`], because the gateway or we ourselves contradict what was said before.
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
//! **Architecture invariant:** an order hears one word of its payment, `payment-done` or
//! `payment-failed`, and never `payment-done` after its cancellation was heard. At most one charge
//! job is ever asked for, and an outcome in doubt is resolved, never forgotten.

use shared::decider::Decider;

pub use stage::Stage;
pub use terms::{Charge, Currency, Money, Terms, Token};
pub use words::{Command, Event, Rejection};

mod decide;
mod stage;
mod terms;
mod words;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

/// Stands where the gateway's name for a refund would, if an operator says that the money went back by
/// another way.
pub const BY_HAND: &str = "by-hand";

/// A payment is the stage at which it stands, with what is known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Nothing has been heard of it.
    Unheard,
    /// The order is known; its stock is not held yet.
    AwaitingStock {
        /// What is to be paid.
        terms: Terms,
    },
    /// The stock is held; the order has not been read yet.
    AwaitingOrder,
    /// The charge job is on its way.
    Charging {
        /// What is to be paid.
        terms: Terms,
    },
    /// The order was cancelled while the charge was being tried: its outcome decides.
    Cancelling {
        /// What was to be paid.
        terms: Terms,
    },
    /// Nobody knows whether the charge happened: the resolve job finds out.
    Unresolved {
        /// What was to be paid.
        terms: Terms,
    },
    /// Paid.
    Done {
        /// What was to be paid.
        terms: Terms,
        /// What was paid.
        charge: Charge,
    },
    /// The refund job is on its way.
    Refunding {
        /// What was to be paid.
        terms: Terms,
        /// What was paid.
        charge: Charge,
    },
    /// Given back. The end.
    Refunded {
        /// What was to be paid.
        terms: Terms,
        /// What was paid.
        charge: Charge,
        /// The gateway's name for the refund.
        refund_id: String,
    },
    /// A person has to decide.
    NeedsReview {
        /// What was to be paid.
        terms: Terms,
        /// What was paid.
        charge: Charge,
        /// Why.
        review: Review,
    },
    /// A person has to find out whether the charge happened.
    InDoubt {
        /// What was to be paid.
        terms: Terms,
    },
    /// Not paid. The end.
    Failed {
        /// What was to be paid.
        terms: Terms,
        /// Why.
        failure: Failure,
    },
    /// The order was cancelled and nothing was paid. The end.
    Abandoned {
        /// What was to be paid, where that was known.
        terms: Option<Terms>,
    },
    /// The cancellation came first: nothing will ever be paid. The end.
    Fenced,
}

/// Why a person has to decide what becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// The gateway charged another amount than it was asked to.
    WrongAmount,
    /// The refund was given up.
    RefundFailed(Obstacle),
}

/// What stands in the way of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The gateway could not be brought to answer, or to take the request at all.
    GaveUp,
    /// The customer's bank has taken the money back, or is about to.
    Disputed,
    /// The gateway does not know the charge.
    ChargeUnknown,
}

/// Why a payment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The bank said no.
    Declined {
        /// The gateway's code.
        code: String,
    },
    /// The gateway could not be brought to answer, or to take the request at all.
    Unavailable,
}

impl Decider for Payment {
    type State = Payment;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn initial() -> Payment {
        Payment::Unheard
    }

    fn decide(payment: &Payment, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::OrderPlaced { terms } => Ok(decide::order_placed(payment, terms)),
            Command::StockReserved => Ok(decide::stock_reserved(payment)),
            Command::OrderCancelled { charge_untouched } => {
                Ok(decide::order_cancelled(payment, *charge_untouched))
            }
            Command::Charged { charge } => decide::charged(payment, charge),
            Command::Declined { code } => decide::declined(payment, code),
            Command::GaveUp { in_doubt } => decide::gave_up(payment, *in_doubt),
            Command::FoundCharged { charge } => decide::found_charged(payment, charge),
            Command::FoundNotCharged => decide::found_not_charged(payment),
            Command::NotListed => decide::not_listed(payment),
            Command::Refunded { refund_id } => decide::refunded(payment, refund_id),
            Command::RefundGaveUp { obstacle } => decide::refund_gave_up(payment, *obstacle),
            Command::Accept => decide::accept(payment),
            Command::Refund => decide::refund(payment),
            Command::Settle => decide::settle(payment),
        }
    }

    fn evolve(payment: Payment, event: &Event) -> Payment {
        match event.clone() {
            Event::Awaited { terms } => Payment::AwaitingStock { terms },
            Event::StockHeld => Payment::AwaitingOrder,
            Event::ChargeDue { terms } => Payment::Charging { terms },
            Event::Free { terms } => {
                let charge = Charge::free(&terms);
                Payment::Done { terms, charge }
            }
            Event::Paid { charge } | Event::Accepted { charge, .. } => {
                Payment::Done { terms: payment.into_terms(), charge }
            }
            Event::Failed { failure } => Payment::Failed { terms: payment.into_terms(), failure },
            Event::Mischarged { charge } => {
                let (terms, review) = (payment.into_terms(), Review::WrongAmount);
                Payment::NeedsReview { terms, charge, review }
            }
            Event::ResolveDue { terms } => Payment::Unresolved { terms },
            Event::FoundUnpaid => {
                Payment::Failed { terms: payment.into_terms(), failure: Failure::Unavailable }
            }
            Event::DoubtRemains => Payment::InDoubt { terms: payment.into_terms() },
            Event::Recalled => Payment::Cancelling { terms: payment.into_terms() },
            Event::ChargeStopped | Event::Abandoned => {
                Payment::Abandoned { terms: payment.terms().cloned() }
            }
            Event::Fenced => Payment::Fenced,
            Event::RefundDue { charge } => {
                Payment::Refunding { terms: payment.into_terms(), charge }
            }
            Event::Refunded { charge, refund_id } => {
                Payment::Refunded { terms: payment.into_terms(), charge, refund_id }
            }
            Event::Settled { charge } => {
                let refund_id = BY_HAND.to_owned();
                Payment::Refunded { terms: payment.into_terms(), charge, refund_id }
            }
            Event::RefundFailed { obstacle } => {
                let Some(charge) = payment.charge().cloned() else {
                    unreachable!("no refund of {payment:?} can fail")
                };
                let (terms, review) = (payment.into_terms(), Review::RefundFailed(obstacle));
                Payment::NeedsReview { terms, charge, review }
            }
        }
    }
}

impl Payment {
    /// What is or was to be paid, where that is known.
    pub fn terms(&self) -> Option<&Terms> {
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

    /// What was paid.
    pub fn charge(&self) -> Option<&Charge> {
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
    pub fn review(&self) -> Option<Review> {
        if let Self::NeedsReview { review, .. } = self { Some(*review) } else { None }
    }

    /// Why it was not paid.
    pub fn failure(&self) -> Option<&Failure> {
        if let Self::Failed { failure, .. } = self { Some(failure) } else { None }
    }

    fn into_terms(self) -> Terms {
        match self.terms() {
            Some(terms) => terms.clone(),
            None => unreachable!("nothing is charged before its terms are known: {self:?}"),
        }
    }
}
