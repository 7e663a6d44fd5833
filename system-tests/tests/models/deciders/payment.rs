//! Payment-service's decider.

use payment_service::domain::payment::{
    Charge, Command, Currency, Event, Money, Obstacle, Payment, Review, Terms, Token,
};

use super::{TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{Bend, Deed, Kind, Unrolled},
    words::{Service, Word},
};

/// What is asked, in the succession of [`unroll`].
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

pub(crate) fn unroll(bend: Bend<Payment>) -> Unrolled<Payment> {
    let charge = |id: &str, minor| Charge { id: id.to_owned(), amount: money(minor) };
    let right = || charge("ch_1", TOTAL_MINOR);
    let wrong = || charge("ch_1", TOTAL_MINOR + 1);
    let second = || charge("ch_2", TOTAL_MINOR);
    let commands = [
        Command::OrderPlaced {
            terms: Terms { amount: money(TOTAL_MINOR), method: Token::new("tok_visa") },
        },
        Command::StockReserved,
        Command::OrderCancelled { charge_untouched: false },
        Command::OrderCancelled { charge_untouched: true },
        Command::Charged { charge: right() },
        Command::Charged { charge: wrong() },
        Command::Charged { charge: second() },
        Command::Declined { code: "insufficient_funds".to_owned() },
        Command::GaveUp { in_doubt: false },
        Command::GaveUp { in_doubt: true },
        Command::FoundCharged { charge: right() },
        Command::FoundCharged { charge: wrong() },
        Command::FoundCharged { charge: second() },
        Command::FoundNotCharged,
        Command::NotListed,
        Command::Refunded { refund_id: "re_1".to_owned() },
        Command::RefundGaveUp { obstacle: Obstacle::GaveUp },
        Command::Accept,
        Command::Refund,
        Command::Settle,
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn money(minor: i64) -> Money {
    Money { minor, currency: Currency::parse("EUR").unwrap() }
}

/// What payment-service's `wire` says of an event, and what its `jobs` make of it.
fn deeds(event: &Event) -> Vec<Deed> {
    match event {
        Event::Paid { charge: Charge { amount, .. } } | Event::Accepted { amount, .. } => {
            let is_total = amount.minor == TOTAL_MINOR;
            let word = if is_total { Word::PaymentDone } else { Word::PaymentDoneOtherwise };
            vec![Deed::Say(word)]
        }
        Event::Free { .. } => vec![Deed::Say(Word::PaymentDone)],
        Event::Failed { .. } => vec![Deed::Say(Word::PaymentFailed)],
        Event::Refunded { .. } => vec![Deed::Say(Word::PaymentRefunded)],
        Event::Settled { .. } => vec![Deed::Say(Word::PaymentRefunded), Deed::Stop(Kind::Refund)],
        Event::ChargeDue { .. } => vec![Deed::Begin(Kind::Charge)],
        Event::ResolveDue { .. } => vec![Deed::Begin(Kind::Resolve)],
        Event::RefundDue { .. } => vec![Deed::Stop(Kind::Refund), Deed::Begin(Kind::Refund)],
        Event::ChargeStopped => vec![Deed::Stop(Kind::Charge)],
        Event::Awaited { .. }
        | Event::StockHeld
        | Event::Mischarged { .. }
        | Event::FoundUnpaid
        | Event::DoubtRemains
        | Event::Recalled
        | Event::Abandoned
        | Event::Fenced
        | Event::RefundFailed { .. } => vec![],
    }
}

/// What a word asks; for a cancellation, whether the charge was never tried.
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
        | Word::PaymentRefunded => not_addressed(Service::Payment, word),
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
        Payment::NeedsReview { review: Review::WrongAmount, .. } => Standing::WrongAmount,
        Payment::NeedsReview { review: Review::RefundFailed(_), .. } => Standing::RefundFailed,
        Payment::InDoubt { .. } => Standing::InDoubt,
        Payment::Refunded { .. }
        | Payment::Failed { .. }
        | Payment::Abandoned { .. }
        | Payment::Fenced => Standing::Ended,
    }
}
