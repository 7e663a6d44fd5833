//! The notifications to the customer of one order.
//!
//! Each occasion (the order is confirmed, cancelled, refunded) is one notice with its own state:
//!
//! ```text
//!           contact known              sent
//! waiting ─────────────────> due ─────────────────> sent
//!    │                        │                      ^
//!    │                        └──gave up──> failed ──┤ sent: somebody redrove it
//!    │ the order is cancelled │                │     │
//!    └────────────────────────┴────────────────┴──> skipped ── sent: it was on its way already
//! ```
//!
//! What becomes of a notice:
//!
//! | notice | contact | told of | its order's end | sent | given up |
//! | --- | --- | --- | --- | --- | --- |
//! | none, contact known | nothing | due | nothing | rejected | rejected |
//! | none, contact unknown | nothing | waiting | nothing | rejected | rejected |
//! | none, its order's end is known | nothing | skipped | nothing | rejected | rejected |
//! | waiting | due | nothing | skipped | rejected | rejected |
//! | due | nothing | nothing | skipped | sent | failed |
//! | sent | nothing | nothing | nothing | nothing | nothing |
//! | failed | nothing | nothing | skipped | sent | nothing |
//! | skipped | nothing | nothing | nothing | sent | nothing |
//!
//! The order's end is its cancellation or refund. It ends only the *confirmed* notice: *cancelled*
//! and *refunded* do not depend on other notices.
//!
//! Topics are not ordered among each other, so occasions come in any order, and before the contact.
//! A refund proves the cancellation: an instance that reads the refund first must not send a
//! confirmation afterwards.
//!
//! **Architecture invariant:** nothing here ever changes an order, and no *confirmed* becomes due
//! once the cancellation has been seen.

use std::collections::BTreeMap;

use shared::decider::Decider;
use time::OffsetDateTime;

pub use messages::{NotificationCommand, NotificationEvent, NotificationRejection};

mod messages;
mod names;

/// All notices to the customer of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderNotifications {
    /// The recipient; unknown until `order-placed` has been read.
    pub addressee: Option<CustomerContact>,
    /// The notices so far.
    pub notices: BTreeMap<NotificationKind, NotificationState>,
}

/// The recipient, and the order's total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerContact {
    pub email: String,
    pub name: Option<String>,
    pub total: Money,
}

/// An amount in minor units of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    pub minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
}

/// A notification that the customer gets once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationState {
    /// What there is to tell.
    pub occasion: NotificationCause,
    pub stage: NotificationStage,
}

/// The kinds of notices; an order has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotificationKind {
    /// The order is paid for and on its way.
    Confirmed,
    /// The order was given up.
    Cancelled,
    /// The money was given back.
    Refunded,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationCause {
    /// The order is paid for.
    Confirmed { total: Money },
    /// The order was given up.
    Cancelled { reason: CancelReason },
    /// The money was given back.
    Refunded { amount: Money },
}

/// Why an order was given up, as far as its customer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// There was not enough stock.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// The payment could not be taken.
    PaymentUnavailable,
    /// The order was not finished in time.
    TimedOut,
    /// The customer asked for it.
    Requested,
    /// A reason that this version does not know.
    Other,
}

/// The stage of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationStage {
    /// The recipient is not known yet.
    WaitingForContact,
    /// The notice is being sent; the job retries.
    Due { since: OffsetDateTime },
    /// A mail server took it. The end.
    Sent { message_id: String, at: OffsetDateTime },
    /// It was given up. The end, unless somebody redrives it.
    Failed { reason: String, at: OffsetDateTime },
    /// The notice is obsolete. The end, unless the mail was already being sent.
    Skipped,
}

impl NotificationCause {
    pub fn kind(&self) -> NotificationKind {
        match self {
            Self::Confirmed { .. } => NotificationKind::Confirmed,
            Self::Cancelled { .. } => NotificationKind::Cancelled,
            Self::Refunded { .. } => NotificationKind::Refunded,
        }
    }
}

impl Decider for OrderNotifications {
    type State = Self;
    type Command = NotificationCommand;
    type Event = NotificationEvent;
    type Rejection = NotificationRejection;

    fn initial() -> Self {
        Self::default()
    }

    fn decide(
        state: &Self,
        command: &NotificationCommand,
    ) -> Result<Vec<NotificationEvent>, NotificationRejection> {
        match command {
            NotificationCommand::RecordContact { addressee, at } => {
                Ok(state.record_contact(addressee, *at))
            }
            NotificationCommand::Tell { occasion, at } => Ok(state.tell(occasion, *at)),
            NotificationCommand::RecordSent { kind, message_id, at } => match state.stage(*kind) {
                None | Some(NotificationStage::WaitingForContact) => {
                    Err(NotificationRejection::NeverDue)
                }
                // A mail was sent: this is published whatever the stage is meanwhile.
                Some(
                    NotificationStage::Due { .. }
                    | NotificationStage::Failed { .. }
                    | NotificationStage::Skipped,
                ) => Ok(vec![NotificationEvent::Sent {
                    kind: *kind,
                    message_id: message_id.clone(),
                    at: *at,
                }]),
                Some(NotificationStage::Sent { .. }) => Ok(vec![]),
            },
            NotificationCommand::RecordGivenUp { kind, reason, at } => match state.stage(*kind) {
                None | Some(NotificationStage::WaitingForContact) => {
                    Err(NotificationRejection::NeverDue)
                }
                Some(NotificationStage::Due { .. }) => Ok(vec![NotificationEvent::Failed {
                    kind: *kind,
                    reason: reason.clone(),
                    at: *at,
                }]),
                // The mail was not to be sent any more, so nothing failed.
                Some(
                    NotificationStage::Skipped
                    | NotificationStage::Failed { .. }
                    | NotificationStage::Sent { .. },
                ) => Ok(vec![]),
            },
        }
    }

    fn evolve(mut state: Self, event: &NotificationEvent) -> Self {
        match event {
            NotificationEvent::ContactKnown { addressee } => {
                state.addressee = Some(addressee.clone());
            }
            NotificationEvent::Deferred { occasion } => {
                state.put(occasion, NotificationStage::WaitingForContact);
            }
            NotificationEvent::FellDue { occasion, at, addressee: _ } => {
                state.put(occasion, NotificationStage::Due { since: *at });
            }
            NotificationEvent::Skipped { occasion, was_due: _ } => {
                state.put(occasion, NotificationStage::Skipped);
            }
            NotificationEvent::Sent { kind, message_id, at } => {
                state.move_on(
                    *kind,
                    NotificationStage::Sent { message_id: message_id.clone(), at: *at },
                );
            }
            NotificationEvent::Failed { kind, reason, at } => {
                state.move_on(*kind, NotificationStage::Failed { reason: reason.clone(), at: *at });
            }
        }
        state
    }
}

impl OrderNotifications {
    /// The stage of the notice of that kind; `None` if there was no occasion.
    pub fn stage(&self, kind: NotificationKind) -> Option<&NotificationStage> {
        self.notices.get(&kind).map(|state| &state.stage)
    }

    fn record_contact(
        &self,
        addressee: &CustomerContact,
        at: OffsetDateTime,
    ) -> Vec<NotificationEvent> {
        if self.addressee.is_some() {
            return vec![];
        }
        let due = self.notices.values().filter_map(|notice| match &notice.stage {
            NotificationStage::WaitingForContact => Some(NotificationEvent::FellDue {
                occasion: notice.occasion.clone(),
                addressee: addressee.clone(),
                at,
            }),
            NotificationStage::Due { .. }
            | NotificationStage::Sent { .. }
            | NotificationStage::Failed { .. }
            | NotificationStage::Skipped => None,
        });
        let known = NotificationEvent::ContactKnown { addressee: addressee.clone() };
        std::iter::once(known).chain(due).collect()
    }

    fn tell(&self, occasion: &NotificationCause, at: OffsetDateTime) -> Vec<NotificationEvent> {
        let news = match (self.stage(occasion.kind()), &self.addressee) {
            (None, _) if occasion.kind() == NotificationKind::Confirmed && self.is_cancelled() => {
                Some(NotificationEvent::Skipped { occasion: occasion.clone(), was_due: false })
            }
            (None, None) => Some(NotificationEvent::Deferred { occasion: occasion.clone() }),
            (None, Some(addressee)) => Some(NotificationEvent::FellDue {
                occasion: occasion.clone(),
                addressee: addressee.clone(),
                at,
            }),
            (
                Some(
                    NotificationStage::WaitingForContact
                    | NotificationStage::Due { .. }
                    | NotificationStage::Sent { .. }
                    | NotificationStage::Failed { .. }
                    | NotificationStage::Skipped,
                ),
                _,
            ) => None,
        };
        let withdrawn = match occasion.kind() {
            NotificationKind::Confirmed => None,
            NotificationKind::Cancelled | NotificationKind::Refunded => self.withdraw_confirmed(),
        };
        withdrawn.into_iter().chain(news).collect()
    }

    /// Ends the confirmation once the cancellation is known.
    fn withdraw_confirmed(&self) -> Option<NotificationEvent> {
        let notice = self.notices.get(&NotificationKind::Confirmed)?;
        let was_due = match &notice.stage {
            NotificationStage::WaitingForContact => false,
            // A failed notice could still be redriven.
            NotificationStage::Due { .. } | NotificationStage::Failed { .. } => true,
            NotificationStage::Sent { .. } | NotificationStage::Skipped => return None,
        };
        Some(NotificationEvent::Skipped { occasion: notice.occasion.clone(), was_due })
    }

    /// Whether the order is known to be cancelled.
    fn is_cancelled(&self) -> bool {
        self.notices.contains_key(&NotificationKind::Cancelled)
            || self.notices.contains_key(&NotificationKind::Refunded)
    }

    fn put(&mut self, occasion: &NotificationCause, stage: NotificationStage) {
        self.notices
            .insert(occasion.kind(), NotificationState { occasion: occasion.clone(), stage });
    }

    fn move_on(&mut self, kind: NotificationKind, stage: NotificationStage) {
        match self.notices.get_mut(&kind) {
            Some(notice) => notice.stage = stage,
            None => unreachable!("no result was decided for a notice that is not there: {kind:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
