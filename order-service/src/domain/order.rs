//! The order's state machine.
//!
//! ```text
//!                     payment done
//! (none) ──place──> pending ─────────────> confirmed
//!                     │                        │ cancel, while the window lasts
//!                     │ out of stock, declined,│
//!                     │ deadline, cancel       v
//!                     └──────────────────> cancelled
//! ```
//!
//! | stage | command | happens | said |
//! | --- | --- | --- | --- |
//! | none | place | pending | `order-placed` |
//! | none | anything else | rejected: we say the first word | – |
//! | pending, confirmed, cancelled | place | nothing: a repeat | – |
//! | pending, confirmed, cancelled | place another | rejected | – |
//! | pending | stock reserved | noted | – |
//! | pending | stock rejected | noted, cancelled (out of stock) | `order-cancelled` |
//! | pending | payment done | noted, confirmed | `order-confirmed` |
//! | pending | payment done otherwise | rejected: not the order's total | – |
//! | pending | payment declined | noted, cancelled (payment declined) | `order-cancelled` |
//! | pending | payment unavailable | noted, cancelled (payment unavailable) | `order-cancelled` |
//! | pending | deadline | cancelled (timed out) | `order-cancelled` |
//! | pending | deadline to come | nothing | – |
//! | pending | cancel, cancel too late | cancelled (requested): no window is open yet | `order-cancelled` |
//! | confirmed | stock reserved, payment done, payment done otherwise | noted: read late, or a repeat | – |
//! | confirmed | stock rejected, payment declined, payment unavailable | rejected: a contradiction | – |
//! | confirmed | deadline, deadline to come | nothing | – |
//! | confirmed | cancel | cancelled (requested): the window is open | `order-cancelled` |
//! | confirmed | cancel too late | rejected: the window is closed | – |
//! | cancelled | stock reserved, stock rejected, payment done, payment done otherwise | noted: who did it undoes it | – |
//! | cancelled | payment declined, payment unavailable | noted | – |
//! | cancelled | deadline, deadline to come, cancel, cancel too late | nothing: the same answer again | – |
//! | pending, confirmed, cancelled | stock released, payment refunded, notification sent, notification failed | noted | – |
//!
//! **Architecture invariant:** cancelled is final. What is noted is history and never changes the
//! stage; a message that is noted twice is kept once, by its id.

use shared::decider::Decider;
use time::{Duration, OffsetDateTime};

use super::{draft::Placement, money::Money};
pub use news::{Channel, Failure, Missing, News};

mod news;
#[cfg(test)]
mod tests;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// When it was accepted.
    pub placed_at: OffsetDateTime,
    /// What it costs.
    pub total: Money,
    /// Where it stands.
    pub stage: Stage,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Neither paid for nor given up.
    Pending {
        /// When it is given up.
        due_at: OffsetDateTime,
    },
    /// Paid for, its stock held. An end, unless the customer takes it back in time.
    Confirmed {
        /// Since when.
        at: OffsetDateTime,
    },
    /// Given up. The end.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// Since when.
        at: OffsetDateTime,
    },
}

/// Why an order was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// There was not enough stock.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// The payment could not be made.
    PaymentUnavailable,
    /// It had not ended when it was due.
    TimedOut,
    /// The customer asked for it.
    Requested,
}

impl Stage {
    /// Its stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Confirmed { .. } => "confirmed",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl CancelReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::OutOfStock,
        Self::PaymentDeclined,
        Self::PaymentUnavailable,
        Self::TimedOut,
        Self::Requested,
    ];

    /// Its stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::OutOfStock => "out-of-stock",
            Self::PaymentDeclined => "payment-declined",
            Self::PaymentUnavailable => "payment-unavailable",
            Self::TimedOut => "timed-out",
            Self::Requested => "requested",
        }
    }

    /// The reason of that name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }
}

/// What may be asked of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A customer places it.
    Place(Placement),
    /// Another service said something of it.
    Record {
        /// What.
        news: News,
        /// The time.
        now: OffsetDateTime,
    },
    /// It is looked at because it is due.
    PassDeadline {
        /// The time.
        now: OffsetDateTime,
    },
    /// The customer wants it no more.
    Cancel {
        /// The time.
        now: OffsetDateTime,
        /// How long a confirmed order can be taken back.
        window: Duration,
    },
}

/// What has happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was placed.
    Placed(Placement),
    /// It is paid for and its stock is held.
    Confirmed {
        /// What it cost.
        total: Money,
        /// When.
        at: OffsetDateTime,
    },
    /// It was given up; whoever holds anything for it lets go.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// When.
        at: OffsetDateTime,
    },
    /// Something is to be remembered of it.
    Noted(News),
}

impl Event {
    /// When it happened, if it is ours to say; what is only noted is somebody else's word.
    pub fn said_at(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Placed(placement) => Some(placement.placed_at),
            Self::Confirmed { at, .. } | Self::Cancelled { at, .. } => Some(*at),
            Self::Noted(_) => None,
        }
    }
}

/// Why the answer is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing is known of the order, though we say the first word of each.
    #[error("there is no such order")]
    Unknown,
    /// Another order has the name.
    #[error("there is another order of that name")]
    AlreadyPlaced,
    /// A confirmed order was paid for and its stock held, so nobody can have failed.
    #[error("the order is confirmed, so this cannot have happened")]
    Contradiction,
    /// Not the order's total was paid.
    #[error("what was paid is {paid}, what the order costs is {total}")]
    PaidOtherwise {
        /// What was paid.
        paid: Money,
        /// What the order costs.
        total: Money,
    },
    /// The window in which a confirmed order can be taken back is closed.
    #[error("the order was confirmed at {confirmed_at} and could be cancelled until {closed_at}")]
    TooLate {
        /// When it was confirmed.
        confirmed_at: OffsetDateTime,
        /// When the window closed.
        closed_at: OffsetDateTime,
    },
}

impl Decider for Order {
    type State = Option<Order>;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn initial() -> Self::State {
        None
    }

    fn decide(order: &Option<Order>, command: &Command) -> Result<Vec<Event>, Rejection> {
        let Some(order) = order else {
            return match command {
                Command::Place(placement) => Ok(vec![Event::Placed(placement.clone())]),
                Command::Record { .. } | Command::PassDeadline { .. } | Command::Cancel { .. } => {
                    Err(Rejection::Unknown)
                }
            };
        };
        match command {
            Command::Place(placement) => order.place_again(placement),
            Command::Record { news, now } => order.record(news, *now),
            Command::PassDeadline { now } => Ok(order.pass_deadline(*now)),
            Command::Cancel { now, window } => order.cancel(*now, *window),
        }
    }

    fn evolve(order: Option<Order>, event: &Event) -> Option<Order> {
        let next = match (order, event) {
            (None, Event::Placed(placement)) => Order {
                placed_at: placement.placed_at,
                total: placement.total,
                stage: Stage::Pending { due_at: placement.due_at },
            },
            (Some(order), Event::Confirmed { at, .. }) => order.at(Stage::Confirmed { at: *at }),
            (Some(order), Event::Cancelled { reason, at }) => {
                order.at(Stage::Cancelled { reason: *reason, at: *at })
            }
            (Some(order), Event::Noted(_)) => order,
            (Some(_), Event::Placed(_))
            | (None, Event::Confirmed { .. } | Event::Cancelled { .. } | Event::Noted(_)) => {
                unreachable!("{event:?} was not decided for {order:?}")
            }
        };
        Some(next)
    }
}

impl Order {
    fn place_again(&self, placement: &Placement) -> Result<Vec<Event>, Rejection> {
        let same = self.placed_at == placement.placed_at && self.total == placement.total;
        if same { Ok(vec![]) } else { Err(Rejection::AlreadyPlaced) }
    }

    fn record(&self, news: &News, now: OffsetDateTime) -> Result<Vec<Event>, Rejection> {
        use CancelReason::{OutOfStock, PaymentDeclined, PaymentUnavailable};
        use News as N;
        use Stage as S;

        let noted = Event::Noted(news.clone());
        let cancelled = |reason| Event::Cancelled { reason, at: now };
        match (&self.stage, news) {
            // The way forward.
            (S::Pending { .. }, N::PaymentDone { paid, .. }) if *paid == self.total => {
                Ok(vec![noted, Event::Confirmed { total: self.total, at: now }])
            }
            // The way back.
            (S::Pending { .. }, N::StockRejected { .. }) => Ok(vec![noted, cancelled(OutOfStock)]),
            (S::Pending { .. }, N::PaymentFailed { failure, .. }) => {
                let reason = match failure {
                    Failure::Declined => PaymentDeclined,
                    Failure::Unavailable => PaymentUnavailable,
                };
                Ok(vec![noted, cancelled(reason)])
            }
            // On its way; or read late, or a repeat.
            (S::Pending { .. }, N::StockReserved)
            | (S::Confirmed { .. }, N::StockReserved | N::PaymentDone { .. })
            // Whoever did it hears of the cancellation and undoes it.
            | (
                S::Cancelled { .. },
                N::StockReserved
                | N::StockRejected { .. }
                | N::PaymentDone { .. }
                | N::PaymentFailed { .. },
            )
            // What only follows an end.
            | (
                S::Pending { .. } | S::Confirmed { .. } | S::Cancelled { .. },
                N::StockReleased
                | N::PaymentRefunded { .. }
                | N::NotificationSent { .. }
                | N::NotificationFailed { .. },
            ) => Ok(vec![noted]),
            // What the other services never say of such an order.
            (S::Pending { .. }, N::PaymentDone { paid, .. }) => {
                Err(Rejection::PaidOtherwise { paid: *paid, total: self.total })
            }
            (S::Confirmed { .. }, N::StockRejected { .. } | N::PaymentFailed { .. }) => {
                Err(Rejection::Contradiction)
            }
        }
    }

    fn pass_deadline(&self, now: OffsetDateTime) -> Vec<Event> {
        match self.stage {
            Stage::Pending { due_at } if due_at <= now => {
                vec![Event::Cancelled { reason: CancelReason::TimedOut, at: now }]
            }
            Stage::Pending { .. } | Stage::Confirmed { .. } | Stage::Cancelled { .. } => vec![],
        }
    }

    fn cancel(&self, now: OffsetDateTime, window: Duration) -> Result<Vec<Event>, Rejection> {
        let cancelled = Event::Cancelled { reason: CancelReason::Requested, at: now };
        match self.stage {
            Stage::Pending { .. } => Ok(vec![cancelled]),
            Stage::Confirmed { at } => {
                let closed_at = at.saturating_add(window);
                let in_time = now <= closed_at;
                let too_late = Rejection::TooLate { confirmed_at: at, closed_at };
                in_time.then(|| vec![cancelled]).ok_or(too_late)
            }
            Stage::Cancelled { .. } => Ok(vec![]),
        }
    }

    fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }
}
