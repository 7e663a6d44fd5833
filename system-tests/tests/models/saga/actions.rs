//! The actions that are possible in a state.

use super::{Book, Saga, World};
use crate::{
    deciders::{order, payment},
    flaws::Flaw,
    unrolled::Kind,
    words::{Service, Word},
};

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Cancel,
    /// The sweeper finds the order due.
    PassDeadline,
    /// Another order takes the lamp.
    RivalReserves,
    /// And gives it back.
    RivalReleases,
    /// The relay publishes and deletes.
    Publish(Word),
    /// The relay publishes and crashes.
    PublishAndCrash(Word),
    /// A relay that was replaced publishes what it still held.
    PublishLate(Word),
    /// The consumer processes a message and commits its offset.
    Take(Service, Word),
    /// The consumer processes a message and crashes.
    TakeAndCrash(Service, Word),
    /// The consumer cannot process a message and keeps it as a dead letter.
    Bury(Service, Word),
    /// An operator redrives a dead letter.
    RedriveLetter(Service, Word),
    /// A service crashes while its workers are in the middle of something.
    Crash(Service),
    /// A day passes: all requests have arrived or never will, the gateway forgets its keys, and the
    /// service knows that it may have.
    KeysExpire,
    /// A worker claims a job and sends its request.
    Claim(Kind),
    /// The request of a hand arrives and its answer comes back.
    Answer(usize, Book),
    /// The request arrives and its answer is lost.
    LoseAnswer(usize, Book),
    /// The request is refused for now.
    Refuse(usize),
    /// The worker waits no longer; the request still travels.
    TimeOut(usize),
    /// A request that nobody waits for any more arrives.
    ArriveLate(Book),
    NeverArrive,
    /// A worker brings its outcome home.
    Settle(usize),
    /// An operator takes a wrong amount for right.
    Accept,
    /// An operator has money given back.
    Refund,
    /// An operator says that the customer has the money.
    SettleByHand,
    /// An operator has a job that was given up tried again.
    Redrive(Kind),
}

impl Saga {
    pub(super) fn enabled(&self, world: &World, actions: &mut Vec<Action>) {
        // What must never happen did: there is nothing to be learned beyond.
        if world.broken.any() {
            return;
        }
        self.people_and_time(world, actions);
        Self::messages(world, actions);
        self.work(world, actions);
    }

    fn people_and_time(&self, world: &World, actions: &mut Vec<Action>) {
        let order = self.facts.order[usize::from(world.order)];
        let left = &world.left;
        if left.cancels && order != order::Standing::Cancelled {
            actions.push(Action::Cancel);
        }
        if left.deadline && order == order::Standing::Pending {
            actions.push(Action::PassDeadline);
        }
        if left.rival {
            actions.push(Action::RivalReserves);
        } else if world.rival_holds(self) {
            actions.push(Action::RivalReleases);
        }
        let is_quiet = !world.hands.iter().flatten().any(|hand| hand.is_on_its_way())
            && world.gateway.travelling == 0;
        if left.expires && is_quiet {
            actions.push(Action::KeysExpire);
        }
        if left.operator > 0 {
            let payment = self.facts.payment[usize::from(world.payment)];
            if payment == payment::Standing::WrongAmount {
                actions.push(Action::Accept);
            }
            let is_unsettled =
                matches!(payment, payment::Standing::RefundFailed | payment::Standing::InDoubt);
            if is_unsettled {
                actions.push(Action::SettleByHand);
            }
            if is_unsettled || payment == payment::Standing::WrongAmount {
                actions.push(Action::Refund);
            }
            let dead = Kind::ALL.into_iter().filter(|kind| world.jobs[kind.at()].is_dead());
            let redrivable = dead.filter(|kind| self.may_be_redriven(*kind));
            actions.extend(redrivable.map(Action::Redrive));
        }
    }

    /// A charge that was given up was told as failed: another try would take money for nothing.
    fn may_be_redriven(&self, kind: Kind) -> bool {
        kind != Kind::Charge || self.flaw == Flaw::ChargesAreRedriven
    }

    fn messages(world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        for service in Service::ALL {
            if let Some(head) = world.outbox.iter().find(|word| word.of() == service) {
                actions.push(Action::Publish(head));
                if left.crashes > 0 {
                    actions.push(Action::PublishAndCrash(head));
                }
            }
            for message in world.unread[service.at()].iter() {
                actions.push(Action::Take(service, message));
                if left.dead_letters > 0 {
                    actions.push(Action::Bury(service, message));
                }
                if left.crashes > 0 {
                    actions.push(Action::TakeAndCrash(service, message));
                }
            }
        }
        for service in Service::ALL {
            let letters = world.letters[service.at()].iter();
            actions.extend(letters.map(|message| Action::RedriveLetter(service, message)));
        }
        if left.zombies > 0 {
            actions.extend(world.said.iter().map(Action::PublishLate));
        }
    }

    fn work(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        for kind in Kind::ALL {
            if world.can_claim(kind) {
                actions.push(Action::Claim(kind));
            }
        }
        for (place, hand) in world.hands.iter().enumerate() {
            let Some(hand) = hand else { continue };
            if !hand.is_waiting() {
                actions.push(Action::Settle(place));
                continue;
            }
            for book in self.endings(world, hand.kind) {
                actions.push(Action::Answer(place, book));
                if left.lost > 0 {
                    actions.push(Action::LoseAnswer(place, book));
                }
            }
            if left.refused > 0 {
                actions.push(Action::Refuse(place));
            }
            if left.lost > 0 {
                actions.push(Action::TimeOut(place));
            }
        }
        if world.gateway.travelling > 0 {
            let endings = self.endings(world, Kind::Charge);
            actions.extend(endings.map(Action::ArriveLate));
            actions.push(Action::NeverArrive);
        }
        if left.crashes > 0 {
            for service in [Service::Payment, Service::Notify] {
                if world.hands.iter().flatten().any(|job| job.service() == service) {
                    actions.push(Action::Crash(service));
                }
            }
        }
    }

    pub(super) fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Cancel => {
                world.left.cancels = false;
                self.ask_order(world, order::Ask::Cancel);
            }
            Action::PassDeadline => {
                world.left.deadline = false;
                self.ask_order(world, order::Ask::Deadline);
            }
            Action::RivalReserves => self.rival_reserves(world),
            Action::RivalReleases => self.rival_releases(world),
            Action::Publish(message) => Self::publish(world, message),
            Action::PublishAndCrash(message) => Self::publish_and_crash(world, message),
            Action::PublishLate(message) => {
                world.left.zombies -= 1;
                Self::append_to_log(world, message);
            }
            Action::Take(reader, message) => self.take(world, reader, message),
            Action::TakeAndCrash(reader, message) => self.take_and_crash(world, reader, message),
            Action::Bury(reader, message) => Self::bury(world, reader, message),
            Action::RedriveLetter(reader, message) => self.redrive_letter(world, reader, message),
            Action::Crash(service) => world.crash(service),
            Action::KeysExpire => {
                world.left.expires = false;
                world.gateway.has_forgotten = true;
            }
            Action::Claim(kind) => self.claim(world, kind),
            Action::Answer(hand, book) => self.answer(world, hand, book),
            Action::LoseAnswer(hand, book) => self.lose_answer(world, hand, book),
            Action::Refuse(hand) => world.refuse(hand),
            Action::TimeOut(hand) => world.time_out(hand),
            Action::ArriveLate(book) => Self::arrive_late(world, book),
            Action::NeverArrive => world.gateway.travelling -= 1,
            Action::Settle(hand) => self.settle(world, hand),
            Action::Accept => self.operate(world, payment::Ask::Accept),
            Action::Refund => self.operate(world, payment::Ask::Refund),
            Action::SettleByHand => {
                // What was charged has gone back by another way.
                world.gateway.refunds = world.gateway.charges;
                self.operate(world, payment::Ask::Settle);
            }
            Action::Redrive(kind) => world.redrive(kind),
        }
    }

    fn operate(&self, world: &mut World, ask: payment::Ask) {
        world.left.operator -= 1;
        self.ask_payment(world, ask);
    }
}
