//! The messaging runtime: outbox, relay, topics, inbox, and the decision between them.

use super::{Saga, World, rules::Broken};
use crate::{
    deciders::{inventory, notify, order, payment},
    flaws::Flaw,
    unrolled::{Answer, Deed, Kind},
    words::{Service, Word},
};

impl Saga {
    /// One more copy for every reader.
    pub(super) fn append_to_log(world: &mut World, message: Word) {
        for reader in message.readers() {
            if *reader != Service::Notify || world.left.told {
                world.unread[reader.at()].add(message);
            }
        }
    }

    pub(super) fn publish(world: &mut World, message: Word) {
        Self::append_to_log(world, message);
        world.outbox.remove(message);
    }

    pub(super) fn publish_and_crash(world: &mut World, message: Word) {
        Self::append_to_log(world, message);
        world.crash(message.of());
    }

    pub(super) fn take(&self, world: &mut World, reader: Service, message: Word) {
        world.unread[reader.at()].take(message);
        self.process(world, reader, message);
    }

    pub(super) fn take_and_crash(&self, world: &mut World, reader: Service, message: Word) {
        if self.flaw == Flaw::OffsetsBeforeTheCommit {
            world.unread[reader.at()].take(message);
        } else {
            let (said, outbox) = (world.said, world.outbox);
            self.process(world, reader, message);
            if self.flaw == Flaw::NoOutbox {
                (world.said, world.outbox) = (said, outbox);
            }
        }
        world.crash(reader);
    }

    pub(super) fn bury(world: &mut World, reader: Service, message: Word) {
        world.left.dead_letters -= 1;
        world.unread[reader.at()].take(message);
        // A message that was processed before is a repeat, whether it can be read or not.
        if !world.inbox[reader.at()].has(message) {
            world.letters[reader.at()].add(message);
        }
    }

    pub(super) fn redrive_letter(&self, world: &mut World, reader: Service, message: Word) {
        world.letters[reader.at()].remove(message);
        self.process_unless_known(world, reader, message, Flaw::RedriveWithoutInbox);
    }

    fn process(&self, world: &mut World, reader: Service, message: Word) {
        self.process_unless_known(world, reader, message, Flaw::NoInbox);
    }

    /// The transaction of a consumer: inbox, decision, outbox, jobs. With this flaw it does not ask
    /// the inbox.
    fn process_unless_known(
        &self,
        world: &mut World,
        reader: Service,
        message: Word,
        no_inbox: Flaw,
    ) {
        let is_new = world.inbox[reader.at()].add(message);
        if !is_new && self.flaw != no_inbox {
            return;
        }
        if !is_new {
            world.broken.add(Broken::PROCESSED_TWICE);
        }
        match reader {
            Service::Order => self.ask_order(world, order::heard(message)),
            Service::Inventory => self.ask_inventory(world, inventory::heard(message)),
            Service::Payment => {
                let untouched = self.is_untouched(world);
                self.ask_payment(world, payment::heard(message, untouched));
            }
            Service::Notify => self.ask_notify(world, notify::heard(message)),
        }
    }

    pub(super) fn ask_order(&self, world: &mut World, ask: order::Ask) {
        let before = self.facts.order[usize::from(world.order)];
        let answer = self.deciders.order.decide(world.order, ask as usize);
        world.order = Self::follow(world, world.order, answer);
        let after = self.facts.order[usize::from(world.order)];
        if before == order::Standing::Cancelled && after != before {
            world.broken.add(Broken::LEFT_ITS_END);
        }
        if ask == order::Ask::PaymentUnderReview && after != before {
            world.broken.add(Broken::MOVED_BY_REVIEW);
        }
    }

    pub(super) fn ask_inventory(&self, world: &mut World, ask: inventory::Ask) {
        let answer = self.deciders.inventory.decide(world.inventory, ask as usize);
        world.inventory = Self::follow(world, world.inventory, answer);
    }

    pub(super) fn ask_payment(&self, world: &mut World, ask: payment::Ask) {
        let answer = self.deciders.payment.decide(world.payment, ask as usize);
        world.payment = Self::follow(world, world.payment, answer);
    }

    pub(super) fn ask_notify(&self, world: &mut World, ask: notify::Ask) {
        let answer = self.deciders.notify.decide(world.notify, ask as usize);
        world.notify = Self::follow(world, world.notify, answer);
    }

    /// Does what a decision wants done; answers the next state.
    fn follow(world: &mut World, state: u8, answer: &Answer) -> u8 {
        match answer {
            Answer::Refused => {
                world.broken.add(Broken::REFUSED);
                state
            }
            Answer::Taken { to, deeds } => {
                for deed in deeds {
                    match *deed {
                        Deed::Say(message) => world.say(message),
                        Deed::Begin(kind) => world.begin(kind),
                        Deed::Stop(kind) => world.stop(kind),
                    }
                }
                *to
            }
        }
    }

    /// Whether no attempt at the charge had an effect or can have one from now on, as
    /// payment-service looks it up.
    fn is_untouched(&self, world: &World) -> bool {
        let is_charging =
            self.facts.payment[usize::from(world.payment)] == payment::Standing::Charging;
        let row = &world.jobs[Kind::Charge.at()];
        // An attempt that is not counted before it is made looks like a job that waits.
        let uncounted = self.flaw == Flaw::AttemptsCountedAfterwards;
        let is_waiting = row.is_waiting() || uncounted && row.is_live();
        !is_charging || is_waiting && !row.in_doubt
    }

    pub(super) fn rival_reserves(&self, world: &mut World) {
        world.left.rival = false;
        self.ask_inventory(world, inventory::Ask::RivalReserves);
    }

    pub(super) fn rival_releases(&self, world: &mut World) {
        self.ask_inventory(world, inventory::Ask::RivalReleases);
    }
}

impl World {
    fn say(&mut self, message: Word) {
        let again = message.again().filter(|_| self.said.has(message));
        let message = again.unwrap_or(message);
        if !self.said.add(message) {
            self.broken.add(Broken::SAID_TWICE);
        }
        self.outbox.add(message);
    }

    pub(super) fn rival_holds(&self, saga: &Saga) -> bool {
        saga.facts.rival_holds[usize::from(self.inventory)]
    }
}
