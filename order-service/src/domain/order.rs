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
//! | pending, confirmed, cancelled | payment under review | noted: the deadline stays as it is | – |
//! | pending, confirmed, cancelled | stock released, payment refunded, notification sent, notification failed | noted | – |
//!
//! **Architecture invariant:** cancelled is final. What is noted is history and never changes the
//! stage; a message that is noted twice is kept once, by its id.

use shared::decider::Decider;
use time::{Duration, OffsetDateTime};

use super::{draft::PlacedOrder, money::Money};
pub use service_event::{MissingLine, NoticeChannel, PaymentFailure, ServiceEvent};

mod service_event;
#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// When it was accepted.
    pub placed_at: OffsetDateTime,
    pub total: Money,
    pub stage: OrderStage,
}

/// The stage of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderStage {
    /// Neither paid for nor given up.
    Pending {
        /// When it is given up.
        due_at: OffsetDateTime,
    },
    /// Paid for, its stock held. An end, unless the customer takes it back in time.
    Confirmed { at: OffsetDateTime },
    /// Given up. The end.
    Cancelled { reason: CancelReason, at: OffsetDateTime },
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// There was not enough stock.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// The payment could not be made.
    PaymentUnavailable,
    /// The order had not ended at its deadline.
    TimedOut,
    /// The customer asked for it.
    Requested,
}

impl OrderStage {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Confirmed { .. } => "confirmed",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl CancelReason {
    pub const ALL: [Self; 5] = [
        Self::OutOfStock,
        Self::PaymentDeclined,
        Self::PaymentUnavailable,
        Self::TimedOut,
        Self::Requested,
    ];

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
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// A command for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderCommand {
    /// A customer places it.
    Place(PlacedOrder),
    /// A message of another service arrived.
    Record { news: ServiceEvent, now: OffsetDateTime },
    /// The deadline has passed.
    PassDeadline { now: OffsetDateTime },
    /// The customer cancels the order.
    Cancel {
        now: OffsetDateTime,
        /// How long a confirmed order can be taken back.
        window: Duration,
    },
}

/// An event of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    Placed(PlacedOrder),
    /// The order is paid for and its stock is held.
    Confirmed {
        total: Money,
        at: OffsetDateTime,
    },
    /// The order was cancelled; services that hold stock or money for it release them.
    Cancelled {
        reason: CancelReason,
        at: OffsetDateTime,
    },
    /// A message is added to the history.
    Noted(ServiceEvent),
}

impl OrderEvent {
    /// The time of an event of this service; `None` for a noted message of another service.
    pub fn said_at(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Placed(placement) => Some(placement.placed_at),
            Self::Confirmed { at, .. } | Self::Cancelled { at, .. } => Some(*at),
            Self::Noted(_) => None,
        }
    }
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRejection {
    /// The order is unknown, although this service publishes the first message of every order.
    #[error("there is no such order")]
    Unknown,
    /// Another order has this id.
    #[error("there is another order of that name")]
    AlreadyPlaced,
    /// A confirmed order was paid for and its stock held, so neither step can have failed.
    #[error("the order is confirmed, so this cannot have happened")]
    Contradiction,
    /// The amount paid is not the order's total.
    #[error("what was paid is {paid}, what the order costs is {total}")]
    PaidOtherwise { paid: Money, total: Money },
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
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = OrderRejection;

    fn initial() -> Self::State {
        None
    }

    fn decide(
        order: &Option<Order>,
        command: &OrderCommand,
    ) -> Result<Vec<OrderEvent>, OrderRejection> {
        let Some(order) = order else {
            return match command {
                OrderCommand::Place(placement) => Ok(vec![OrderEvent::Placed(placement.clone())]),
                OrderCommand::Record { .. }
                | OrderCommand::PassDeadline { .. }
                | OrderCommand::Cancel { .. } => Err(OrderRejection::Unknown),
            };
        };
        match command {
            OrderCommand::Place(placement) => order.place_again(placement),
            OrderCommand::Record { news, now } => order.record(news, *now),
            OrderCommand::PassDeadline { now } => Ok(order.pass_deadline(*now)),
            OrderCommand::Cancel { now, window } => order.cancel(*now, *window),
        }
    }

    fn evolve(order: Option<Order>, event: &OrderEvent) -> Option<Order> {
        let next = match (order, event) {
            (None, OrderEvent::Placed(placement)) => Order {
                placed_at: placement.placed_at,
                total: placement.total,
                stage: OrderStage::Pending { due_at: placement.due_at },
            },
            (Some(order), OrderEvent::Confirmed { at, .. }) => {
                order.at(OrderStage::Confirmed { at: *at })
            }
            (Some(order), OrderEvent::Cancelled { reason, at }) => {
                order.at(OrderStage::Cancelled { reason: *reason, at: *at })
            }
            (Some(order), OrderEvent::Noted(_)) => order,
            (Some(_), OrderEvent::Placed(_))
            | (
                None,
                OrderEvent::Confirmed { .. } | OrderEvent::Cancelled { .. } | OrderEvent::Noted(_),
            ) => {
                unreachable!("{event:?} was not decided for {order:?}")
            }
        };
        Some(next)
    }
}

impl Order {
    fn place_again(&self, placement: &PlacedOrder) -> Result<Vec<OrderEvent>, OrderRejection> {
        let same = self.placed_at == placement.placed_at && self.total == placement.total;
        if same { Ok(vec![]) } else { Err(OrderRejection::AlreadyPlaced) }
    }

    fn record(
        &self,
        news: &ServiceEvent,
        now: OffsetDateTime,
    ) -> Result<Vec<OrderEvent>, OrderRejection> {
        use CancelReason::{OutOfStock, PaymentDeclined, PaymentUnavailable};
        use OrderStage as S;
        use ServiceEvent as N;

        let noted = OrderEvent::Noted(news.clone());
        let cancelled = |reason| OrderEvent::Cancelled { reason, at: now };
        match (&self.stage, news) {
            // The way forward.
            (S::Pending { .. }, N::PaymentDone { paid, .. }) if *paid == self.total => {
                Ok(vec![noted, OrderEvent::Confirmed { total: self.total, at: now }])
            }
            // The way back.
            (S::Pending { .. }, N::StockRejected { .. }) => Ok(vec![noted, cancelled(OutOfStock)]),
            (S::Pending { .. }, N::PaymentFailed { failure, .. }) => {
                let reason = match failure {
                    PaymentFailure::Declined => PaymentDeclined,
                    PaymentFailure::Unavailable => PaymentUnavailable,
                };
                Ok(vec![noted, cancelled(reason)])
            }
            // Progress, a message read late, or a repeat.
            (S::Pending { .. }, N::StockReserved)
            | (S::Confirmed { .. }, N::StockReserved | N::PaymentDone { .. })
            // The service that did it reads the cancellation and undoes the step.
            | (
                S::Cancelled { .. },
                N::StockReserved
                | N::StockRejected { .. }
                | N::PaymentDone { .. }
                | N::PaymentFailed { .. },
            )
            // A person decides: the order waits no longer for it than for any other payment.
            | (
                S::Pending { .. } | S::Confirmed { .. } | S::Cancelled { .. },
                N::PaymentUnderReview { .. },
            )
            // Messages that only follow an end.
            | (
                S::Pending { .. } | S::Confirmed { .. } | S::Cancelled { .. },
                N::StockReleased
                | N::PaymentRefunded { .. }
                | N::NotificationSent { .. }
                | N::NotificationFailed { .. },
            ) => Ok(vec![noted]),
            // Messages that the other services never publish for such an order.
            (S::Pending { .. }, N::PaymentDone { paid, .. }) => {
                Err(OrderRejection::PaidOtherwise { paid: *paid, total: self.total })
            }
            (S::Confirmed { .. }, N::StockRejected { .. } | N::PaymentFailed { .. }) => {
                Err(OrderRejection::Contradiction)
            }
        }
    }

    fn pass_deadline(&self, now: OffsetDateTime) -> Vec<OrderEvent> {
        match self.stage {
            OrderStage::Pending { due_at } if due_at <= now => {
                vec![OrderEvent::Cancelled { reason: CancelReason::TimedOut, at: now }]
            }
            OrderStage::Pending { .. }
            | OrderStage::Confirmed { .. }
            | OrderStage::Cancelled { .. } => vec![],
        }
    }

    fn cancel(
        &self,
        now: OffsetDateTime,
        window: Duration,
    ) -> Result<Vec<OrderEvent>, OrderRejection> {
        let cancelled = OrderEvent::Cancelled { reason: CancelReason::Requested, at: now };
        match self.stage {
            OrderStage::Pending { .. } => Ok(vec![cancelled]),
            OrderStage::Confirmed { at } => {
                let closed_at = at.saturating_add(window);
                let in_time = now <= closed_at;
                let too_late = OrderRejection::TooLate { confirmed_at: at, closed_at };
                in_time.then(|| vec![cancelled]).ok_or(too_late)
            }
            OrderStage::Cancelled { .. } => Ok(vec![]),
        }
    }

    fn at(self, stage: OrderStage) -> Self {
        Self { stage, ..self }
    }
}
