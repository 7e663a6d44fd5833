//! The properties that are checked, and the bounds of each check.

use std::sync::Arc;

use crate::{
    deciders::Deciders,
    delivery::{self, Delivery},
    flaws::Flaw,
    report::{assert_breaks, assert_holds, say},
    saga::{Bounds, Saga, rules},
};

/// An order that the customer may cancel and that may pass its deadline, whenever that is.
const CALM: Bounds = Bounds {
    in_stock: true,
    rival: false,
    told: false,
    declines: false,
    mischarges: false,
    cancels: true,
    deadline: true,
    expires: false,
    crashes: 0,
    zombies: 0,
    sleepers: 0,
    lost: 0,
    refused: 0,
    operator: 0,
    dead_letters: 0,
};

/// Worlds in which nothing may break.
const WORLDS: [(&str, Bounds); 14] = [
    ("an order, declined or not, and a rival", Bounds { rival: true, declines: true, ..CALM }),
    ("an order without stock, two crashes", Bounds { in_stock: false, crashes: 2, ..CALM }),
    ("two crashes", Bounds { crashes: 2, ..CALM }),
    ("a zombie relay and a crash", Bounds { zombies: 1, crashes: 1, ..CALM }),
    (
        "two lost answers, a refusal, a decline",
        Bounds { lost: 2, refused: 1, declines: true, ..CALM },
    ),
    ("a lost answer, a crash, a decline", Bounds { lost: 1, crashes: 1, declines: true, ..CALM }),
    ("two lost answers and a worker that sleeps", Bounds { lost: 2, sleepers: 1, ..CALM }),
    ("a wrong amount and an operator", Bounds { mischarges: true, operator: 1, lost: 1, ..CALM }),
    ("a refund given up and an operator", Bounds { lost: 2, operator: 1, ..CALM }),
    (
        "keys that are forgotten and an operator",
        Bounds { lost: 2, expires: true, operator: 1, ..CALM },
    ),
    ("the customer is told", Bounds { told: true, lost: 1, ..CALM }),
    (
        "two dead letters, a rival, a decline",
        Bounds { rival: true, declines: true, dead_letters: 2, ..CALM },
    ),
    ("a dead letter and a crash", Bounds { dead_letters: 1, crashes: 1, ..CALM }),
    ("a dead letter, the customer is told", Bounds { told: true, dead_letters: 1, ..CALM }),
];

/// Mutants: a flaw, the rule that it has to break, and the world in which it does.
const MUTANTS: [(Flaw, &str, Bounds); 20] = [
    (Flaw::NoTombstoneInInventory, rules::CANCELLED, CALM),
    (Flaw::NoTombstoneInPayment, rules::NOT_STUCK, CALM),
    (Flaw::NoTerminalGuard, rules::FINAL, CALM),
    (Flaw::NoInbox, rules::PROCESSED_ONCE, Bounds { crashes: 1, ..CALM }),
    (
        Flaw::RedriveWithoutInbox,
        rules::PROCESSED_ONCE,
        Bounds { dead_letters: 1, crashes: 1, ..CALM },
    ),
    (Flaw::FreshKeyPerRetry, rules::ONE_NET_CHARGE, Bounds { lost: 1, ..CALM }),
    (Flaw::OldKeysAreCalled, rules::ONE_NET_CHARGE, Bounds { lost: 1, expires: true, ..CALM }),
    (Flaw::LateSuccessIsKept, rules::CANCELLED, CALM),
    (Flaw::PaymentIsKept, rules::CANCELLED, CALM),
    (Flaw::UnknownIsFailed, rules::CANCELLED, Bounds { lost: 2, ..CALM }),
    (Flaw::ResolveOnlyAsks, rules::CANCELLED, Bounds { lost: 2, ..CALM }),
    (
        Flaw::AcceptedAmountIsSaid,
        rules::NOT_REFUSED,
        Bounds { mischarges: true, operator: 1, ..CALM },
    ),
    (Flaw::ChargesAreRedriven, rules::NOT_REFUSED, Bounds { refused: 2, operator: 1, ..CALM }),
    (Flaw::StockBeforeOrderIsForgotten, rules::NOT_STUCK, CALM),
    (Flaw::AttemptsCountedAfterwards, rules::CANCELLED, Bounds { lost: 1, ..CALM }),
    (Flaw::ReviewIsSilent, rules::REVIEWS_SHOWN, Bounds { mischarges: true, ..CALM }),
    (Flaw::ReviewCancels, rules::REVIEWS_MOVE_NOTHING, Bounds { mischarges: true, ..CALM }),
    (
        Flaw::LateReviewIsRefused,
        rules::NOT_REFUSED,
        Bounds { mischarges: true, operator: 1, ..CALM },
    ),
    (Flaw::NoOutbox, rules::NOT_STUCK, Bounds { crashes: 1, ..CALM }),
    (Flaw::OffsetsBeforeTheCommit, rules::NOT_STUCK, Bounds { crashes: 1, ..CALM }),
];

const NO_FAULT: delivery::Bounds = delivery::Bounds {
    relay_crashes: 0,
    lost_locks: 0,
    lost_confirmations: 0,
    lost_messages: 0,
    consumer_crashes: 0,
};

/// A relay that loses its lock and does not know.
const ZOMBIE: delivery::Bounds = delivery::Bounds { lost_locks: 1, ..NO_FAULT };
/// A message that does not arrive.
const LOST: delivery::Bounds = delivery::Bounds { lost_messages: 1, ..NO_FAULT };

/// Models of the message path in which no rule may break.
const DELIVERIES: [(&str, delivery::Bounds); 5] = [
    (
        "delivery: a relay crash and a consumer crash",
        delivery::Bounds { relay_crashes: 1, consumer_crashes: 1, ..NO_FAULT },
    ),
    ("delivery: a zombie relay", ZOMBIE),
    (
        "delivery: a zombie relay, a lost confirmation",
        delivery::Bounds { lost_confirmations: 1, ..ZOMBIE },
    ),
    ("delivery: a zombie relay, a lost message", delivery::Bounds { lost_messages: 1, ..ZOMBIE }),
    (
        "delivery: a lost message, a lost confirmation",
        delivery::Bounds { lost_confirmations: 1, ..LOST },
    ),
];

/// Mutants of the message path.
const DELIVERY_MUTANTS: [(delivery::Flaw, &str, delivery::Bounds); 6] = [
    (delivery::Flaw::NoEpoch, delivery::STEPS_DOWN, ZOMBIE),
    (delivery::Flaw::NoInbox, delivery::PROCESSED_ONCE, ZOMBIE),
    (
        delivery::Flaw::OffsetsBeforeTheCommit,
        delivery::ALL_PROCESSED,
        delivery::Bounds { consumer_crashes: 1, ..NO_FAULT },
    ),
    (delivery::Flaw::UnconfirmedIsDeleted, delivery::NOTHING_LOST, LOST),
    (delivery::Flaw::DeletedByRange, delivery::NOTHING_LOST, NO_FAULT),
    (delivery::Flaw::NoSequence, delivery::FIRSTS_IN_ORDER, LOST),
];

/// Runs the checks whose name holds this.
pub(crate) fn run(only: Option<&str>) {
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let deciders = Arc::new(Flaw::None.deciders());
    for (name, bounds) in WORLDS.into_iter().filter(|(name, _)| wanted(name)) {
        assert_holds(name, Saga::new(&deciders, Flaw::None, bounds));
    }
    if only.is_none() {
        tell_coverage(&deciders);
    }
    for (name, bounds) in DELIVERIES.into_iter().filter(|(name, _)| wanted(name)) {
        assert_holds(name, Delivery { bounds, flaw: delivery::Flaw::None });
    }
    for (flaw, rule, bounds) in MUTANTS {
        let name = format!("order: {flaw:?}");
        if wanted(&name) {
            assert_breaks(&name, rule, Saga::new(&Arc::new(flaw.deciders()), flaw, bounds));
        }
    }
    for (flaw, rule, bounds) in DELIVERY_MUTANTS {
        let name = format!("delivery: {flaw:?}");
        if wanted(&name) {
            assert_breaks(&name, rule, Delivery { bounds, flaw });
        }
    }
}

fn tell_coverage(deciders: &Deciders) {
    for (service, (asked, all)) in deciders.coverage() {
        say(format_args!(
            "asked   {service:?}'s decider {asked} of {all} pairs of state and command"
        ));
    }
}
