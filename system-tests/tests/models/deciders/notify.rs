//! Notify-service's decider.

use notify_service::domain::notification::{
    Addressee, CancelReason, Command, Correspondence, Event, Kind, Money, Occasion, Stage,
};

use super::{NOW, TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{self, Bend, Deed, Unrolled},
    words::{Service, Word},
};

/// What is asked, in the succession of [`unroll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Contact,
    TellConfirmed,
    TellCancelled,
    TellRefunded,
    SentConfirmed,
    SentCancelled,
    SentRefunded,
    GaveUpConfirmed,
    GaveUpCancelled,
    GaveUpRefunded,
}

pub(crate) fn unroll(bend: Bend<Correspondence>) -> Unrolled<Correspondence> {
    let addressee = Addressee { email: "ada@shop.example".to_owned(), name: None, total: total() };
    let tell = |occasion| Command::Tell { occasion, at: NOW };
    let sent = |kind| Command::RecordSent { kind, message_id: "<a.mail@shop>".to_owned(), at: NOW };
    let gave_up = |kind| Command::RecordGivenUp { kind, reason: "refused".to_owned(), at: NOW };
    let commands = [
        Command::RecordContact { addressee, at: NOW },
        tell(Occasion::Confirmed { total: total() }),
        tell(Occasion::Cancelled { reason: CancelReason::Requested }),
        tell(Occasion::Refunded { amount: total() }),
        sent(Kind::Confirmed),
        sent(Kind::Cancelled),
        sent(Kind::Refunded),
        gave_up(Kind::Confirmed),
        gave_up(Kind::Cancelled),
        gave_up(Kind::Refunded),
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn total() -> Money {
    Money { minor: TOTAL_MINOR, currency: "EUR".to_owned() }
}

fn job(kind: Kind) -> unrolled::Kind {
    match kind {
        Kind::Confirmed => unrolled::Kind::MailConfirmed,
        Kind::Cancelled => unrolled::Kind::MailCancelled,
        Kind::Refunded => unrolled::Kind::MailRefunded,
    }
}

/// What notify-service's `app` makes of an event, but for what the order only notes.
fn deeds(event: &Event) -> Vec<Deed> {
    match event {
        Event::FellDue { occasion, .. } => vec![Deed::Begin(job(occasion.kind()))],
        Event::Skipped { occasion, was_due: true } => vec![Deed::Stop(job(occasion.kind()))],
        Event::ContactKnown { .. }
        | Event::Deferred { .. }
        | Event::Skipped { was_due: false, .. }
        | Event::Sent { .. }
        | Event::Failed { .. } => vec![],
    }
}

/// What a word asks.
pub(crate) fn heard(word: Word) -> Ask {
    match word {
        Word::OrderPlaced => Ask::Contact,
        Word::OrderConfirmed => Ask::TellConfirmed,
        Word::OrderCancelled => Ask::TellCancelled,
        Word::PaymentRefunded => Ask::TellRefunded,
        Word::StockReserved
        | Word::StockRejected
        | Word::StockReleased
        | Word::PaymentDone
        | Word::PaymentDoneOtherwise
        | Word::PaymentFailed => not_addressed(Service::Notify, word),
    }
}

/// What a mail's end asks.
pub(crate) fn ended(kind: unrolled::Kind, sent: bool) -> Ask {
    match (kind, sent) {
        (unrolled::Kind::MailConfirmed, true) => Ask::SentConfirmed,
        (unrolled::Kind::MailConfirmed, false) => Ask::GaveUpConfirmed,
        (unrolled::Kind::MailCancelled, true) => Ask::SentCancelled,
        (unrolled::Kind::MailCancelled, false) => Ask::GaveUpCancelled,
        (unrolled::Kind::MailRefunded, true) => Ask::SentRefunded,
        (unrolled::Kind::MailRefunded, false) => Ask::GaveUpRefunded,
        (unrolled::Kind::Charge | unrolled::Kind::Resolve | unrolled::Kind::Refund, _) => {
            panic!("{kind:?} is no mail")
        }
    }
}

/// Whether every notice has come to an end.
pub(crate) fn has_ended(correspondence: &Correspondence) -> bool {
    correspondence.notices.values().all(|it| match it.stage {
        Stage::WaitingForContact | Stage::Due { .. } => false,
        Stage::Sent { .. } | Stage::Failed { .. } | Stage::Skipped => true,
    })
}

/// Whether the confirmation is not to be told any more.
pub(crate) fn is_withdrawn(correspondence: &Correspondence) -> bool {
    correspondence.stage(Kind::Confirmed) == Some(&Stage::Skipped)
}
