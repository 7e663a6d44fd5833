//! Notify-service's decider.

use notify_service::domain::notification::{
    CancelReason, CustomerContact, Money, NotificationCause, NotificationCommand,
    NotificationEvent, NotificationKind, NotificationStage, OrderNotifications,
};

use super::{NOW, TOTAL_MINOR, not_addressed};
use crate::{
    unrolled::{self, Bend, Deed, Unrolled},
    words::{Service, Word},
};

/// The commands, in the order of [`unroll`].
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

pub(crate) fn unroll(bend: Bend<OrderNotifications>) -> Unrolled<OrderNotifications> {
    let addressee =
        CustomerContact { email: "ada@shop.example".to_owned(), name: None, total: total() };
    let tell = |occasion| NotificationCommand::Tell { occasion, at: NOW };
    let sent = |kind| NotificationCommand::RecordSent {
        kind,
        message_id: "<a.mail@shop>".to_owned(),
        at: NOW,
    };
    let gave_up =
        |kind| NotificationCommand::RecordGivenUp { kind, reason: "refused".to_owned(), at: NOW };
    let commands = [
        NotificationCommand::RecordContact { addressee, at: NOW },
        tell(NotificationCause::Confirmed { total: total() }),
        tell(NotificationCause::Cancelled { reason: CancelReason::Requested }),
        tell(NotificationCause::Refunded { amount: total() }),
        sent(NotificationKind::Confirmed),
        sent(NotificationKind::Cancelled),
        sent(NotificationKind::Refunded),
        gave_up(NotificationKind::Confirmed),
        gave_up(NotificationKind::Cancelled),
        gave_up(NotificationKind::Refunded),
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn total() -> Money {
    Money { minor: TOTAL_MINOR, currency: "EUR".to_owned() }
}

fn job(kind: NotificationKind) -> unrolled::Kind {
    match kind {
        NotificationKind::Confirmed => unrolled::Kind::MailConfirmed,
        NotificationKind::Cancelled => unrolled::Kind::MailCancelled,
        NotificationKind::Refunded => unrolled::Kind::MailRefunded,
    }
}

/// What notify-service's `app` makes of an event, but for what the order only notes.
fn deeds(event: &NotificationEvent) -> Vec<Deed> {
    match event {
        NotificationEvent::FellDue { occasion, .. } => vec![Deed::Begin(job(occasion.kind()))],
        NotificationEvent::Skipped { occasion, was_due: true } => {
            vec![Deed::Stop(job(occasion.kind()))]
        }
        NotificationEvent::ContactKnown { .. }
        | NotificationEvent::Deferred { .. }
        | NotificationEvent::Skipped { was_due: false, .. }
        | NotificationEvent::Sent { .. }
        | NotificationEvent::Failed { .. } => vec![],
    }
}

/// The command of a message.
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
        | Word::PaymentFailed
        | Word::PaymentUnderReview
        | Word::PaymentUnderReviewAgain => not_addressed(Service::Notify, word),
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
pub(crate) fn has_ended(correspondence: &OrderNotifications) -> bool {
    correspondence.notices.values().all(|state| match state.stage {
        NotificationStage::WaitingForContact | NotificationStage::Due { .. } => false,
        NotificationStage::Sent { .. }
        | NotificationStage::Failed { .. }
        | NotificationStage::Skipped => true,
    })
}

/// Whether the confirmation is not to be told any more.
pub(crate) fn is_withdrawn(correspondence: &OrderNotifications) -> bool {
    correspondence.stage(NotificationKind::Confirmed) == Some(&NotificationStage::Skipped)
}
