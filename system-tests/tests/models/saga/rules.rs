//! The rules: properties of every state.

use std::fmt;

use stateright::Property;

use super::{Bounds, Saga, World};
use crate::{
    deciders::{
        Deciders,
        inventory::{self, Holding},
        notify, order, payment,
    },
    unrolled::Kind,
    words::{Service, Word},
};

/// Properties of each state of each decider.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) order: Vec<order::Standing>,
    pub(super) payment: Vec<payment::Standing>,
    pub(super) holding: Vec<Holding>,
    pub(super) adds_up: Vec<bool>,
    pub(super) rival_holds: Vec<bool>,
    pub(super) has_told: Vec<bool>,
    pub(super) is_withdrawn: Vec<bool>,
}

impl Facts {
    pub(super) fn of(deciders: &Deciders) -> Self {
        Self {
            order: deciders.order.facts(|order| order::standing(order.as_ref())),
            payment: deciders.payment.facts(payment::standing),
            holding: deciders.inventory.facts(inventory::holding),
            adds_up: deciders.inventory.facts(inventory::adds_up),
            rival_holds: deciders.inventory.facts(inventory::rival_holds),
            has_told: deciders.notify.facts(notify::has_ended),
            is_withdrawn: deciders.notify.facts(notify::is_withdrawn),
        }
    }
}

/// Rules that were broken.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken(u8);

impl Broken {
    pub(super) const SAID_TWICE: Self = Self(1);
    pub(super) const PROCESSED_TWICE: Self = Self(2);
    pub(super) const REFUSED: Self = Self(4);
    pub(super) const LEFT_ITS_END: Self = Self(8);
    pub(super) const REFUND_WITHOUT_CHARGE: Self = Self(16);
    pub(super) const TOLD_IN_VAIN: Self = Self(32);
    pub(super) const MOVED_BY_REVIEW: Self = Self(64);

    pub(super) fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#b}", self.0)
    }
}

pub(crate) const ONE_NET_CHARGE: &str = "at most one net charge";
pub(crate) const CONFIRMED: &str = "confirmed: charged once and sold";
pub(crate) const CANCELLED: &str = "cancelled: nothing charged, held or sold";
pub(crate) const NOT_STUCK: &str = "where nothing is left to be done, all has ended";
pub(crate) const SAID_ONCE: &str = "nothing is said twice";
pub(crate) const PROCESSED_ONCE: &str = "each message is processed once";
pub(crate) const NOT_REFUSED: &str = "no message or outcome of ours is a contradiction";
pub(crate) const FINAL: &str = "cancelled is final";
pub(crate) const STOCK_ADDS_UP: &str = "stock adds up";
pub(crate) const TOLD_TRULY: &str = "no confirmation is sent once the cancellation was seen";
pub(crate) const REVIEWS_SHOWN: &str = "a payment that waits for a person is shown on the order";
pub(crate) const REVIEWS_MOVE_NOTHING: &str = "a payment under review changes no order";

/// What is said of reviews.
const REVIEWS: [Word; 2] = [Word::PaymentUnderReview, Word::PaymentUnderReviewAgain];

/// The rules, and what has to be reachable so that they are not kept by standing still.
pub(super) fn all(bounds: &Bounds) -> Vec<Property<Saga>> {
    let mut all = vec![
        Property::always(ONE_NET_CHARGE, |_, world: &World| world.gateway.net() <= 1),
        Property::always(CONFIRMED, |saga: &Saga, world: &World| {
            !world.rests()
                || !saga.is(world, order::Standing::Confirmed)
                || saga.is_paid_and_sold(world)
        }),
        Property::always(CANCELLED, |saga: &Saga, world: &World| {
            !world.rests() || !saga.is(world, order::Standing::Cancelled) || saga.is_undone(world)
        }),
        Property::always(NOT_STUCK, |saga: &Saga, world: &World| {
            !world.rests() || saga.has_ended(world)
        }),
        Property::always(SAID_ONCE, |_, world: &World| !world.broken.has(Broken::SAID_TWICE)),
        Property::always(PROCESSED_ONCE, |_, world: &World| {
            !world.broken.has(Broken::PROCESSED_TWICE)
        }),
        Property::always(NOT_REFUSED, |_, world: &World| !world.broken.has(Broken::REFUSED)),
        Property::always(FINAL, |_, world: &World| !world.broken.has(Broken::LEFT_ITS_END)),
        Property::always(STOCK_ADDS_UP, |saga: &Saga, world: &World| {
            saga.facts.adds_up[usize::from(world.inventory)]
        }),
        Property::always("nothing is given back that was not taken", |_, world: &World| {
            !world.broken.has(Broken::REFUND_WITHOUT_CHARGE)
        }),
        Property::always(TOLD_TRULY, |_, world: &World| !world.broken.has(Broken::TOLD_IN_VAIN)),
        Property::always(REVIEWS_SHOWN, |saga: &Saga, world: &World| {
            !world.rests() || !saga.waits_for_a_person(world) || review_is_shown(world)
        }),
        Property::always(REVIEWS_MOVE_NOTHING, |_, world: &World| {
            !world.broken.has(Broken::MOVED_BY_REVIEW)
        }),
    ];
    all.extend(reachable(bounds));
    all
}

fn reachable(bounds: &Bounds) -> Vec<Property<Saga>> {
    let mut all =
        vec![Property::sometimes("an order ends cancelled", |saga: &Saga, world: &World| {
            world.rests() && saga.is(world, order::Standing::Cancelled)
        })];
    if bounds.in_stock {
        all.push(Property::sometimes("an order ends confirmed", |saga: &Saga, world: &World| {
            world.rests() && saga.is(world, order::Standing::Confirmed)
        }));
        all.push(Property::sometimes("money goes back", |_, world: &World| {
            world.gateway.refunds > 0
        }));
    }
    if bounds.mischarges {
        all.push(Property::sometimes(
            "a pending order shows that a person is waited for",
            |saga: &Saga, world: &World| {
                saga.is(world, order::Standing::Pending)
                    && world.inbox[Service::Order.at()].has(Word::PaymentUnderReview)
            },
        ));
    }
    if bounds.expires {
        all.push(Property::sometimes(
            "a doubt waits for a person",
            |saga: &Saga, world: &World| saga.payment(world) == payment::Standing::InDoubt,
        ));
    }
    if bounds.lost > 1 {
        all.push(Property::sometimes("a charge in doubt is resolved", |_, world: &World| {
            world.jobs[Kind::Resolve.at()].is_live()
        }));
    }
    all
}

/// Whether order-service has read all that was said of reviews, and something was.
fn review_is_shown(world: &World) -> bool {
    let read = world.inbox[Service::Order.at()];
    let mut said = world.said.iter().filter(|word| REVIEWS.contains(word)).peekable();
    said.peek().is_some() && said.all(|word| read.has(word))
}

impl Saga {
    fn is(&self, world: &World, standing: order::Standing) -> bool {
        self.facts.order[usize::from(world.order)] == standing
    }

    fn payment(&self, world: &World) -> payment::Standing {
        self.facts.payment[usize::from(world.payment)]
    }

    fn waits_for_a_person(&self, world: &World) -> bool {
        use payment::Standing as S;
        matches!(self.payment(world), S::WrongAmount | S::RefundFailed | S::InDoubt)
    }

    fn is_paid_and_sold(&self, world: &World) -> bool {
        world.gateway.net() == 1
            && self.facts.holding[usize::from(world.inventory)] == Holding::Sold
    }

    /// A refund that was given up waits for an operator; all else is undone.
    fn is_undone(&self, world: &World) -> bool {
        let nothing_held = self.facts.holding[usize::from(world.inventory)] == Holding::Nothing;
        let refund_failed = self.payment(world) == payment::Standing::RefundFailed;
        nothing_held && (world.gateway.net() == 0 || refund_failed)
    }

    /// Whether nobody waits for anything; a pending order only for an operator.
    fn has_ended(&self, world: &World) -> bool {
        let payment = self.payment(world);
        let order_ended = match self.facts.order[usize::from(world.order)] {
            order::Standing::Unknown => false,
            order::Standing::Pending => payment == payment::Standing::WrongAmount,
            order::Standing::Confirmed => payment == payment::Standing::Done,
            order::Standing::Cancelled => {
                use payment::Standing as S;
                matches!(payment, S::Ended | S::RefundFailed | S::InDoubt)
            }
        };
        order_ended && self.facts.has_told[usize::from(world.notify)]
    }
}
