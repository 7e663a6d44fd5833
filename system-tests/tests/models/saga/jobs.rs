//! Durable jobs: rows, leases, attempts, and whose outcome counts; as `shared::jobs` has them.

use super::{Book, Saga, World, rules::Broken};
use crate::{
    deciders::{notify, payment},
    flaws::Flaw,
    unrolled::Kind,
    words::Service,
};

/// A job is given up after this many attempts.
const ATTEMPTS_MAX: u8 = 2;

/// The state of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum State {
    #[default]
    Absent,
    Waiting,
    Performing,
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    state: State,
    pub(crate) attempt: u8,
    pub(crate) in_doubt: bool,
    stopped: bool,
    /// Tells a row from an earlier one of the same name.
    life: u8,
}

/// An attempt in a worker's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hand {
    pub(crate) kind: Kind,
    attempt: u8,
    life: u8,
    /// Whether an earlier attempt was in doubt when this one was claimed.
    in_doubt: bool,
    outcome: Outcome,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    /// Nothing yet: the request is on its way.
    Open,
    Done(Book),
    Refused,
    Unknown,
    /// No attempt was made: earlier ones have used them up.
    UsedUp,
    /// No call is made any more: the key is too old, and nothing is listed.
    TooOld,
}

impl Row {
    pub(crate) fn is_live(self) -> bool {
        matches!(self.state, State::Waiting | State::Performing)
    }

    pub(crate) fn is_waiting(self) -> bool {
        self.state == State::Waiting
    }

    pub(crate) fn is_dead(self) -> bool {
        self.state == State::Dead
    }

    fn is_fenced_for(self, hand: Hand) -> bool {
        self.state == State::Performing && (self.attempt, self.life) == (hand.attempt, hand.life)
    }
}

impl Hand {
    pub(crate) fn service(self) -> Service {
        if self.kind.is_mail() { Service::Notify } else { Service::Payment }
    }

    pub(crate) fn is_waiting(self) -> bool {
        self.outcome == Outcome::Open
    }

    /// Whether a charge that it has sent may arrive though nobody waits for it.
    pub(crate) fn is_on_its_way(self) -> bool {
        self.is_waiting() && matches!(self.kind, Kind::Charge | Kind::Resolve)
    }
}

impl World {
    pub(super) fn begin(&mut self, kind: Kind) {
        let row = &mut self.jobs[kind.at()];
        if row.state == State::Absent {
            *row = Row { state: State::Waiting, life: row.life + 1, ..Row::default() };
        } else {
            row.stopped = false;
        }
    }

    pub(super) fn stop(&mut self, kind: Kind) {
        let row = &mut self.jobs[kind.at()];
        match row.state {
            State::Absent => {}
            State::Performing => row.stopped = true,
            State::Waiting | State::Dead => row.end(),
        }
    }

    /// A job that waits can be claimed; one that is performed, once its lease has run out: because
    /// its worker is gone, or because it sleeps.
    pub(super) fn can_claim(&self, kind: Kind) -> bool {
        let row = &self.jobs[kind.at()];
        let has_room = self.hands.iter().any(Option::is_none);
        let is_held =
            self.hands.iter().flatten().any(|hand| hand.kind == kind && row.is_fenced_for(*hand));
        match row.state {
            State::Absent | State::Dead => false,
            State::Waiting => has_room,
            State::Performing => has_room && (!is_held || self.left.sleepers > 0),
        }
    }

    pub(super) fn refuse(&mut self, place: usize) {
        self.left.refused -= 1;
        self.learn(place, Outcome::Refused);
    }

    pub(super) fn time_out(&mut self, place: usize) {
        self.left.lost -= 1;
        if self.hands[place].is_some_and(Hand::is_on_its_way) && !self.gateway.has_forgotten {
            self.gateway.travelling += 1;
        }
        self.learn(place, Outcome::Unknown);
    }

    pub(super) fn redrive(&mut self, kind: Kind) {
        self.left.operator -= 1;
        let row = &mut self.jobs[kind.at()];
        (row.state, row.attempt) = (State::Waiting, 0);
    }

    fn learn(&mut self, place: usize, outcome: Outcome) {
        if let Some(hand) = &mut self.hands[place] {
            hand.outcome = outcome;
        }
    }
}

impl Row {
    fn end(&mut self) {
        *self = Self { life: self.life, ..Self::default() };
    }
}

impl Saga {
    pub(super) fn claim(&self, world: &mut World, kind: Kind) {
        let looks_up = self.looks_up(world);
        let row = &mut world.jobs[kind.at()];
        let is_held =
            world.hands.iter().flatten().any(|job| job.kind == kind && row.is_fenced_for(*job));
        if is_held {
            world.left.sleepers -= 1;
        }
        if row.stopped {
            row.end();
            return;
        }
        row.in_doubt |= row.state == State::Performing;
        row.state = State::Performing;
        row.attempt += 1;
        let is_used_up = kind != Kind::Resolve && row.attempt > ATTEMPTS_MAX;
        let hand = Hand {
            kind,
            attempt: row.attempt,
            life: row.life,
            in_doubt: row.in_doubt,
            outcome: if is_used_up {
                Outcome::UsedUp
            } else if kind == Kind::Charge && looks_up && !row.in_doubt {
                Outcome::TooOld
            } else {
                Outcome::Open
            },
        };
        if kind == Kind::MailConfirmed && self.facts.is_withdrawn[usize::from(world.notify)] {
            world.broken.add(Broken::TOLD_IN_VAIN);
        }
        if let Some(free) = world.hands.iter_mut().find(|hand| hand.is_none()) {
            *free = Some(hand);
        }
    }

    pub(super) fn answer(&self, world: &mut World, place: usize, ending: Book) {
        let Some(hand) = world.hands[place] else { return };
        let book = self.arrive(world, hand, ending);
        let is_not_listed = hand.kind == Kind::Charge && book == Book::Nothing;
        let outcome = if is_not_listed { Outcome::TooOld } else { Outcome::Done(book) };
        world.learn(place, outcome);
    }

    pub(super) fn lose_answer(&self, world: &mut World, place: usize, ending: Book) {
        world.left.lost -= 1;
        let Some(hand) = world.hands[place] else { return };
        self.arrive(world, hand, ending);
        world.learn(place, Outcome::Unknown);
    }

    /// Brings an outcome home: the row and the decision in one transaction.
    pub(super) fn settle(&self, world: &mut World, place: usize) {
        let Some(hand) = world.hands[place].take() else { return };
        let row = &mut world.jobs[hand.kind.at()];
        if let Outcome::Done(book) = hand.outcome {
            // The outcome `Done` counts from any worker, as long as the row is there.
            if row.is_live() && row.life == hand.life {
                row.end();
                self.apply_outcomes(world, hand.kind, Ended::Done(book));
            }
            return;
        }
        if !row.is_fenced_for(hand) {
            return;
        }
        let in_doubt = hand.in_doubt || hand.outcome == Outcome::Unknown;
        let is_last = hand.kind != Kind::Resolve
            && (hand.attempt >= ATTEMPTS_MAX || hand.outcome == Outcome::TooOld);
        row.in_doubt = in_doubt;
        row.state = if is_last { State::Dead } else { State::Waiting };
        if row.stopped {
            row.end();
        }
        if is_last {
            self.apply_outcomes(world, hand.kind, Ended::GaveUp { in_doubt });
        }
    }

    fn apply_outcomes(&self, world: &mut World, kind: Kind, ended: Ended) {
        use payment::Ask as P;
        let ask = match (kind, ended) {
            (Kind::Charge, Ended::Done(Book::Charged)) => P::Charged,
            (Kind::Charge, Ended::Done(Book::ChargedWrong)) => P::ChargedWrong,
            (Kind::Charge, Ended::Done(Book::ChargedTwice)) => P::ChargedTwice,
            (Kind::Charge, Ended::Done(Book::Declined)) => P::Declined,
            (Kind::Charge, Ended::GaveUp { in_doubt: true })
                if self.flaw != Flaw::UnknownIsFailed =>
            {
                P::GaveUpInDoubt
            }
            (Kind::Charge, Ended::GaveUp { .. }) => P::GaveUp,
            (Kind::Resolve, Ended::Done(Book::Charged)) => P::FoundCharged,
            (Kind::Resolve, Ended::Done(Book::ChargedWrong)) => P::FoundChargedWrong,
            (Kind::Resolve, Ended::Done(Book::ChargedTwice)) => P::FoundChargedTwice,
            (Kind::Resolve, Ended::Done(Book::Declined)) => P::FoundNotCharged,
            (Kind::Resolve, Ended::Done(Book::Nothing)) => P::NotListed,
            (Kind::Refund, Ended::Done(_)) => P::Refunded,
            (Kind::Refund, Ended::GaveUp { .. }) => P::RefundGaveUp,
            (Kind::MailConfirmed | Kind::MailCancelled | Kind::MailRefunded, ended) => {
                let sent = matches!(ended, Ended::Done(_));
                return self.ask_notify(world, notify::ended(kind, sent));
            }
            (Kind::Charge | Kind::Resolve, ended) => {
                panic!("{kind:?} cannot end like this: {ended:?}")
            }
        };
        self.ask_payment(world, ask);
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Done(Book),
    GaveUp { in_doubt: bool },
}
