//! Payment-service's decider.

use payment_service::domain::payment::{
    Currency, GatewayCharge, Money, Payment, PaymentCommand, PaymentEvent, PaymentTerms,
    PaymentToken, RefundObstacle, ReviewReason,
};

use super::{TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{Bend, Deed, Kind, Unrolled},
    words::{Service, Word},
};

/// The commands, in the order of [`unroll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    OrderPlaced,
    StockReserved,
    Cancelled,
    CancelledUntouched,
    Charged,
    ChargedWrong,
    ChargedTwice,
    Declined,
    GaveUp,
    GaveUpInDoubt,
    FoundCharged,
    FoundChargedWrong,
    FoundChargedTwice,
    FoundNotCharged,
    NotListed,
    Refunded,
    RefundGaveUp,
    Accept,
    Refund,
    Settle,
}

/// What the model has to know of where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Something is awaited: a word, or a job's end.
    UnderWay,
    /// The charge is being tried.
    Charging,
    Done,
    Ended,
    /// A person has to decide about a wrong amount.
    WrongAmount,
    /// A person has to see to a refund.
    RefundFailed,
    /// A person has to find out whether there is a charge.
    InDoubt,
}

pub(crate) fn unroll(
    bend: Bend<Payment>,
    deeds: fn(&PaymentEvent) -> Vec<Deed>,
) -> Unrolled<Payment> {
    let charge = |id: &str, minor| GatewayCharge { id: id.to_owned(), amount: money(minor) };
    let right = || charge("ch_1", TOTAL_MINOR);
    let wrong = || charge("ch_1", TOTAL_MINOR + 1);
    let second = || charge("ch_2", TOTAL_MINOR);
    let commands = [
        PaymentCommand::OrderPlaced {
            terms: PaymentTerms {
                amount: money(TOTAL_MINOR),
                method: PaymentToken::new("tok_visa"),
            },
        },
        PaymentCommand::StockReserved,
        PaymentCommand::OrderCancelled { charge_untouched: false },
        PaymentCommand::OrderCancelled { charge_untouched: true },
        PaymentCommand::Charged { charge: right() },
        PaymentCommand::Charged { charge: wrong() },
        PaymentCommand::Charged { charge: second() },
        PaymentCommand::Declined { code: "insufficient_funds".to_owned() },
        PaymentCommand::GaveUp { in_doubt: false },
        PaymentCommand::GaveUp { in_doubt: true },
        PaymentCommand::FoundCharged { charge: right() },
        PaymentCommand::FoundCharged { charge: wrong() },
        PaymentCommand::FoundCharged { charge: second() },
        PaymentCommand::FoundNotCharged,
        PaymentCommand::NotListed,
        PaymentCommand::Refunded { refund_id: "re_1".to_owned() },
        PaymentCommand::RefundGaveUp { obstacle: RefundObstacle::GaveUp },
        PaymentCommand::Accept,
        PaymentCommand::Refund,
        PaymentCommand::Settle,
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn money(minor: i64) -> Money {
    Money { minor, currency: Currency::parse("EUR").unwrap() }
}

/// What payment-service's `wire` says of an event, and what its `jobs` make of it.
pub(crate) fn deeds(event: &PaymentEvent) -> Vec<Deed> {
    match event {
        PaymentEvent::Paid { charge: GatewayCharge { amount, .. } }
        | PaymentEvent::Accepted { amount, .. } => {
            let is_total = amount.minor == TOTAL_MINOR;
            let word = if is_total { Word::PaymentDone } else { Word::PaymentDoneOtherwise };
            vec![Deed::Say(word)]
        }
        PaymentEvent::Free { .. } => vec![Deed::Say(Word::PaymentDone)],
        PaymentEvent::Failed { .. } => vec![Deed::Say(Word::PaymentFailed)],
        PaymentEvent::Refunded { .. } => vec![Deed::Say(Word::PaymentRefunded)],
        PaymentEvent::Settled { .. } => {
            vec![Deed::Say(Word::PaymentRefunded), Deed::Stop(Kind::Refund)]
        }
        PaymentEvent::ChargeDue { .. } => vec![Deed::Begin(Kind::Charge)],
        PaymentEvent::ResolveDue { .. } => vec![Deed::Begin(Kind::Resolve)],
        PaymentEvent::RefundDue { .. } => vec![Deed::Stop(Kind::Refund), Deed::Begin(Kind::Refund)],
        PaymentEvent::ChargeStopped => vec![Deed::Stop(Kind::Charge)],
        PaymentEvent::Mischarged { .. }
        | PaymentEvent::DoubtRemains
        | PaymentEvent::RefundFailed { .. } => vec![Deed::Say(Word::PaymentUnderReview)],
        PaymentEvent::Awaited { .. }
        | PaymentEvent::StockHeld
        | PaymentEvent::FoundUnpaid
        | PaymentEvent::Recalled
        | PaymentEvent::Abandoned
        | PaymentEvent::Fenced => vec![],
    }
}

/// As [`deeds`], of a service that tells nobody that a person is waited for.
pub(crate) fn deeds_without_reviews(event: &PaymentEvent) -> Vec<Deed> {
    let mut deeds = deeds(event);
    deeds.retain(|deed| *deed != Deed::Say(Word::PaymentUnderReview));
    deeds
}

/// The command of a message; a cancellation also depends on whether the charge was ever tried.
pub(crate) fn heard(word: Word, untouched: bool) -> Ask {
    match word {
        Word::OrderPlaced => Ask::OrderPlaced,
        Word::StockReserved => Ask::StockReserved,
        Word::OrderCancelled if untouched => Ask::CancelledUntouched,
        Word::OrderCancelled => Ask::Cancelled,
        Word::OrderConfirmed
        | Word::StockRejected
        | Word::StockReleased
        | Word::PaymentDone
        | Word::PaymentDoneOtherwise
        | Word::PaymentFailed
        | Word::PaymentRefunded
        | Word::PaymentUnderReview
        | Word::PaymentUnderReviewAgain => not_addressed(Service::Payment, word),
    }
}

pub(crate) fn standing(payment: &Payment) -> Standing {
    match payment {
        Payment::Charging { .. } => Standing::Charging,
        Payment::Unheard
        | Payment::AwaitingStock { .. }
        | Payment::AwaitingOrder
        | Payment::Cancelling { .. }
        | Payment::Unresolved { .. }
        | Payment::Refunding { .. } => Standing::UnderWay,
        Payment::Done { .. } => Standing::Done,
        Payment::NeedsReview { review: ReviewReason::WrongAmount, .. } => Standing::WrongAmount,
        Payment::NeedsReview { review: ReviewReason::RefundFailed(_), .. } => {
            Standing::RefundFailed
        }
        Payment::InDoubt { .. } => Standing::InDoubt,
        Payment::Refunded { .. }
        | Payment::Failed { .. }
        | Payment::Abandoned { .. }
        | Payment::Fenced => Standing::Ended,
    }
}
