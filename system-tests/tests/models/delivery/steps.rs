//! The actions of the message path that are possible in a state, and their effects.

use super::{Action, Delivery, Flaw, MESSAGES, Relay, Sending, Set, World, are_of_one_key};

impl Delivery {
    pub(super) fn enabled(&self, world: &World, actions: &mut Vec<Action>) {
        let free = |id: &u8| {
            let before = (1..*id).filter(|n| are_of_one_key(*n, *id));
            !world.written.has(*id) && before.into_iter().all(|n| world.written.has(n))
        };
        actions.extend((1..=MESSAGES).filter(free).map(Action::Write));
        for (place, relay) in (0_u8..).zip(&world.relays) {
            self.of_relay(world, place, *relay, actions);
        }
        if world.position < world.read_to() {
            actions.push(Action::Process);
        }
        if world.committed < world.position {
            actions.push(Action::CommitOffsets);
        }
        if world.left.consumer_crashes > 0 && world.committed < world.read_to() {
            actions.push(Action::CrashConsumer);
        }
    }

    fn of_relay(&self, world: &World, place: u8, relay: Relay, actions: &mut Vec<Action>) {
        let left = &world.left;
        if relay.epoch.is_none() {
            if world.holder.is_none() {
                actions.push(Action::Elect(place));
            }
            return;
        }
        if left.lost_locks > 0 && world.holder == Some(place) {
            actions.push(Action::LoseLock(place));
        }
        if left.relay_crashes > 0 {
            actions.push(Action::CrashRelay(place));
        }
        if relay.hand.is_empty() {
            if !world.outbox.is_empty() {
                actions.push(Action::Read(place));
            }
            return;
        }
        if self.next_to_send(relay).is_none() {
            actions.push(Action::Settle(place));
            return;
        }
        actions.push(Action::Send(place, Sending::Confirmed));
        if left.lost_confirmations > 0 {
            actions.push(Action::Send(place, Sending::Unconfirmed));
        }
        if left.lost_messages > 0 {
            actions.push(Action::Send(place, Sending::Lost));
        }
    }

    /// The next of a relay's messages. After one that did not arrive, the broker takes no later one
    /// of that key: their numbers do not follow.
    fn next_to_send(&self, relay: Relay) -> Option<u8> {
        let is_blocked = |id: u8| {
            let missing = relay.sent.without(relay.arrived);
            self.flaw != Flaw::NoSequence && missing.iter().any(|other| are_of_one_key(other, id))
        };
        relay.hand.without(relay.sent).iter().find(|n| !is_blocked(*n))
    }

    pub(super) fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Write(id) => {
                world.written.add(id);
                world.outbox.add(id);
            }
            Action::Elect(place) => {
                world.epoch += 1;
                world.holder = Some(place);
                let epoch = Some(world.epoch);
                world.relays[usize::from(place)] = Relay { epoch, ..Relay::default() };
            }
            Action::LoseLock(_) => {
                world.left.lost_locks -= 1;
                world.holder = None;
            }
            Action::Read(place) => {
                let is_stale = world.relays[usize::from(place)].is_stale(world);
                let relay = &mut world.relays[usize::from(place)];
                relay.hand = world.outbox;
                relay.stale_reads += u8::from(is_stale);
            }
            Action::Send(place, sending) => self.send(world, usize::from(place), sending),
            Action::Settle(place) => self.settle(world, place),
            Action::CrashRelay(place) => {
                world.left.relay_crashes -= 1;
                world.stand_by(place);
            }
            Action::Process => self.process_batch(world),
            Action::CommitOffsets => world.committed = world.position,
            Action::CrashConsumer => self.crash_consumer(world),
        }
    }

    fn send(&self, world: &mut World, place: usize, sending: Sending) {
        let relay = &mut world.relays[place];
        let Some(id) = self.next_to_send(*relay) else { return };
        relay.sent.add(id);
        if sending == Sending::Lost {
            world.left.lost_messages -= 1;
            return;
        }
        relay.arrived.add(id);
        if sending == Sending::Confirmed {
            relay.confirmed.add(id);
        } else {
            world.left.lost_confirmations -= 1;
        }
        world.log.push(id);
    }

    fn settle(&self, world: &mut World, place: u8) {
        let relay = world.relays[usize::from(place)];
        let may_settle = !relay.is_stale(world) || self.flaw == Flaw::NoEpoch;
        if !may_settle {
            world.stand_by(place);
            return;
        }
        // Confirmed, with everything before it of the same key confirmed.
        let open = relay.hand.without(relay.confirmed);
        let is_settled = |id: &u8| !open.iter().any(|n| n <= *id && are_of_one_key(n, *id));
        let mut settled: Set = relay.hand.iter().filter(is_settled).collect();
        match self.flaw {
            Flaw::UnconfirmedIsDeleted => settled = relay.hand,
            Flaw::DeletedByRange => {
                let last = settled.iter().last().unwrap_or(0);
                settled = (1..=last).collect();
            }
            Flaw::None
            | Flaw::NoEpoch
            | Flaw::NoInbox
            | Flaw::OffsetsBeforeTheCommit
            | Flaw::NoSequence => {}
        }
        world.outbox = world.outbox.without(settled);
        let Relay { epoch, stale_reads, .. } = relay;
        world.relays[usize::from(place)] = Relay { epoch, stale_reads, ..Relay::default() };
    }

    /// One transaction processes all that is there.
    fn process_batch(&self, world: &mut World) {
        for at in usize::from(world.position)..world.log.len() {
            let id = world.log[at];
            if !world.inbox.has(id) || self.flaw == Flaw::NoInbox {
                world.inbox.add(id);
                world.effects[usize::from(id) - 1] += 1;
            }
        }
        world.position = world.read_to();
    }

    fn crash_consumer(&self, world: &mut World) {
        world.left.consumer_crashes -= 1;
        if self.flaw == Flaw::OffsetsBeforeTheCommit {
            world.committed = world.read_to();
        }
        world.position = world.committed;
    }
}

impl World {
    /// The position of a consumer that has read all messages.
    fn read_to(&self) -> u8 {
        u8::try_from(self.log.len()).unwrap()
    }

    /// A relay leads no more; what it held is forgotten.
    fn stand_by(&mut self, place: u8) {
        self.relays[usize::from(place)] = Relay::default();
        if self.holder == Some(place) {
            self.holder = None;
        }
    }
}
