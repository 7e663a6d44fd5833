//! What the customer of one order is told.
//!
//! Each occasion (the order is confirmed, cancelled, refunded) is one notice with a life of its own:
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
//! The order's end is its cancellation or refund, and ends *confirmed* alone: *cancelled* and
//! *refunded* stay whatever else is told.
//!
//! Topics are not ordered among each other, so occasions come in any order, and before the contact.
//! A refund is proof of the cancellation: whoever reads it first must not tell of a confirmation
//! afterwards.
//!
//! **Architecture invariant:** nothing here ever changes an order, and no *confirmed* becomes due
//! once the cancellation has been seen.

use std::collections::BTreeMap;

use shared::decider::Decider;
use time::OffsetDateTime;

mod words;

/// Everything that is told to the customer of one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correspondence {
    /// Who is told; unknown until the order's placing has been read.
    pub addressee: Option<Addressee>,
    /// What there was to tell.
    pub notices: BTreeMap<Kind, Notice>,
}

/// Who is told, and about how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Where mail goes.
    pub email: String,
    /// What the customer is called.
    pub name: Option<String>,
    /// What the order costs.
    pub total: Money,
}

/// An amount in minor units of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Something that the customer is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What there is to tell.
    pub occasion: Occasion,
    /// How far it has come.
    pub stage: Stage,
}

/// The kinds of notices; an order has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The order is paid for and on its way.
    Confirmed,
    /// The order was given up.
    Cancelled,
    /// The money was given back.
    Refunded,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The order is paid for.
    Confirmed {
        /// What it cost.
        total: Money,
    },
    /// The order was given up.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
    /// The money was given back.
    Refunded {
        /// How much.
        amount: Money,
    },
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
    /// It took too long.
    TimedOut,
    /// The customer asked for it.
    Requested,
    /// Something that this version has no words for.
    Other,
}

/// How far a notice has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody knows yet where it goes.
    WaitingForContact,
    /// It is being sent, for as many attempts as it takes.
    Due {
        /// Since when.
        since: OffsetDateTime,
    },
    /// A mail server took it. The end.
    Sent {
        /// The mail's `Message-ID`.
        message_id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// It was given up. The end, unless somebody redrives it.
    Failed {
        /// Why; nothing personal.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
    /// It is not worth telling any more. The end, unless it was on its way already.
    Skipped,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The order's placing was read.
    RecordContact {
        /// Who is to be told.
        addressee: Addressee,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// There is something to tell.
    Tell {
        /// What.
        occasion: Occasion,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// A mail server took it.
    RecordSent {
        /// What was told.
        kind: Kind,
        /// The mail's `Message-ID`.
        message_id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// It was given up.
    RecordGivenUp {
        /// What could not be told.
        kind: Kind,
        /// Why; nothing personal.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is known who is told.
    ContactKnown {
        /// Who.
        addressee: Addressee,
    },
    /// There is something to tell, and nobody knows yet to whom.
    Deferred {
        /// What.
        occasion: Occasion,
    },
    /// There is something to tell, now.
    FellDue {
        /// What.
        occasion: Occasion,
        /// To whom.
        addressee: Addressee,
        /// Since when.
        at: OffsetDateTime,
    },
    /// It is not worth telling any more.
    Skipped {
        /// What.
        occasion: Occasion,
        /// Whether it was due before, so that there is somebody to be stopped.
        was_due: bool,
    },
    /// The customer was told.
    Sent {
        /// What.
        kind: Kind,
        /// The mail's `Message-ID`.
        message_id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// The customer could not be told.
    Failed {
        /// What.
        kind: Kind,
        /// Why; nothing personal.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
}

/// Why the answer is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A result came home of a mail that nobody was to send.
    #[error("the notice was never due")]
    NeverDue,
}

impl Occasion {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Confirmed { .. } => Kind::Confirmed,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Refunded { .. } => Kind::Refunded,
        }
    }
}

impl Decider for Correspondence {
    type State = Self;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn initial() -> Self {
        Self::default()
    }

    fn decide(state: &Self, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::RecordContact { addressee, at } => Ok(state.record_contact(addressee, *at)),
            Command::Tell { occasion, at } => Ok(state.tell(occasion, *at)),
            Command::RecordSent { kind, message_id, at } => match state.stage(*kind) {
                None | Some(Stage::WaitingForContact) => Err(Rejection::NeverDue),
                // A mail has left: that is said whatever was thought of it meanwhile.
                Some(Stage::Due { .. } | Stage::Failed { .. } | Stage::Skipped) => {
                    Ok(vec![Event::Sent { kind: *kind, message_id: message_id.clone(), at: *at }])
                }
                Some(Stage::Sent { .. }) => Ok(vec![]),
            },
            Command::RecordGivenUp { kind, reason, at } => match state.stage(*kind) {
                None | Some(Stage::WaitingForContact) => Err(Rejection::NeverDue),
                Some(Stage::Due { .. }) => {
                    Ok(vec![Event::Failed { kind: *kind, reason: reason.clone(), at: *at }])
                }
                // It was not to be sent any more, so nothing failed.
                Some(Stage::Skipped | Stage::Failed { .. } | Stage::Sent { .. }) => Ok(vec![]),
            },
        }
    }

    fn evolve(mut state: Self, event: &Event) -> Self {
        match event {
            Event::ContactKnown { addressee } => state.addressee = Some(addressee.clone()),
            Event::Deferred { occasion } => state.put(occasion, Stage::WaitingForContact),
            Event::FellDue { occasion, at, addressee: _ } => {
                state.put(occasion, Stage::Due { since: *at });
            }
            Event::Skipped { occasion, was_due: _ } => state.put(occasion, Stage::Skipped),
            Event::Sent { kind, message_id, at } => {
                state.move_on(*kind, Stage::Sent { message_id: message_id.clone(), at: *at });
            }
            Event::Failed { kind, reason, at } => {
                state.move_on(*kind, Stage::Failed { reason: reason.clone(), at: *at });
            }
        }
        state
    }
}

impl Correspondence {
    /// How far the notice of that kind has come; none if there was no occasion.
    pub fn stage(&self, kind: Kind) -> Option<&Stage> {
        self.notices.get(&kind).map(|it| &it.stage)
    }

    fn record_contact(&self, addressee: &Addressee, at: OffsetDateTime) -> Vec<Event> {
        if self.addressee.is_some() {
            return vec![];
        }
        let due = self.notices.values().filter_map(|notice| match &notice.stage {
            Stage::WaitingForContact => Some(Event::FellDue {
                occasion: notice.occasion.clone(),
                addressee: addressee.clone(),
                at,
            }),
            Stage::Due { .. } | Stage::Sent { .. } | Stage::Failed { .. } | Stage::Skipped => None,
        });
        let known = Event::ContactKnown { addressee: addressee.clone() };
        std::iter::once(known).chain(due).collect()
    }

    fn tell(&self, occasion: &Occasion, at: OffsetDateTime) -> Vec<Event> {
        let news = match (self.stage(occasion.kind()), &self.addressee) {
            (None, _) if occasion.kind() == Kind::Confirmed && self.is_cancelled() => {
                Some(Event::Skipped { occasion: occasion.clone(), was_due: false })
            }
            (None, None) => Some(Event::Deferred { occasion: occasion.clone() }),
            (None, Some(addressee)) => Some(Event::FellDue {
                occasion: occasion.clone(),
                addressee: addressee.clone(),
                at,
            }),
            (
                Some(
                    Stage::WaitingForContact
                    | Stage::Due { .. }
                    | Stage::Sent { .. }
                    | Stage::Failed { .. }
                    | Stage::Skipped,
                ),
                _,
            ) => None,
        };
        let withdrawn = match occasion.kind() {
            Kind::Confirmed => None,
            Kind::Cancelled | Kind::Refunded => self.withdraw_confirmed(),
        };
        withdrawn.into_iter().chain(news).collect()
    }

    /// What becomes of a confirmation once the cancellation is known.
    fn withdraw_confirmed(&self) -> Option<Event> {
        let notice = self.notices.get(&Kind::Confirmed)?;
        let was_due = match &notice.stage {
            Stage::WaitingForContact => false,
            // One that failed could still be redriven.
            Stage::Due { .. } | Stage::Failed { .. } => true,
            Stage::Sent { .. } | Stage::Skipped => return None,
        };
        Some(Event::Skipped { occasion: notice.occasion.clone(), was_due })
    }

    /// Whether the order is known to be cancelled.
    fn is_cancelled(&self) -> bool {
        self.notices.contains_key(&Kind::Cancelled) || self.notices.contains_key(&Kind::Refunded)
    }

    fn put(&mut self, occasion: &Occasion, stage: Stage) {
        self.notices.insert(occasion.kind(), Notice { occasion: occasion.clone(), stage });
    }

    fn move_on(&mut self, kind: Kind, stage: Stage) {
        match self.notices.get_mut(&kind) {
            Some(notice) => notice.stage = stage,
            None => unreachable!("no result was decided for a notice that is not there: {kind:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
