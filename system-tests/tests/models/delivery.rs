//! One message path in full: an outbox, two relays of which one may be a zombie, a topic, a
//! consumer with an inbox; three messages of two keys, committed in any order that locks allow.
//!
//! The steps are those of `shared::relay`, `shared::outbox`, `shared::inbox` and
//! `shared::consumer`. The handler is not idempotent: a message that is processed twice counts
//! twice. A zombie keeps a working connection here: a real one loses its lock and its connection
//! together, and the epoch protects against the remaining cases.

use std::fmt;

use stateright::{Model, Property};

use crate::report::Told;

mod steps;

/// How many messages there are: the first and the third of one key, the second of another.
const MESSAGES: u8 = 3;

/// Whether two messages have one key.
fn are_of_one_key(one: u8, other: u8) -> bool {
    one % 2 == other % 2
}

/// Flaws of the modelled message path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// A relay settles without looking at the epoch.
    NoEpoch,
    NoInbox,
    /// The offset is committed before the transaction.
    OffsetsBeforeTheCommit,
    /// A relay deletes all that it has sent, confirmed or not.
    UnconfirmedIsDeleted,
    /// A relay deletes up to the last row that it has published.
    DeletedByRange,
    /// The producer goes on after a message that did not arrive.
    NoSequence,
}

/// Bounds: faults, and how often each may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Crashes of a relay.
    pub(crate) relay_crashes: u8,
    /// Locks that a relay loses without knowing.
    pub(crate) lost_locks: u8,
    /// Messages that arrive and are not confirmed.
    pub(crate) lost_confirmations: u8,
    /// Messages that do not arrive.
    pub(crate) lost_messages: u8,
    /// Crashes of the consumer.
    pub(crate) consumer_crashes: u8,
}

#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) bounds: Bounds,
    pub(crate) flaw: Flaw,
}

/// A set of messages.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Set(u8);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Relay {
    /// It leads, or believes so, under this epoch; none if it stands by.
    epoch: Option<u8>,
    /// Messages that it has read and not settled.
    hand: Set,
    sent: Set,
    arrived: Set,
    confirmed: Set,
    /// Batches that it has read since it was replaced.
    stale_reads: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Committed to the outbox, ever.
    written: Set,
    outbox: Set,
    epoch: u8,
    /// Which relay holds the lock.
    holder: Option<u8>,
    relays: [Relay; 2],
    log: Vec<u8>,
    /// How far the consumer has read, and how far it has said so.
    position: u8,
    committed: u8,
    inbox: Set,
    /// How often each message had its effect.
    effects: [u8; MESSAGES as usize],
    left: Bounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A transaction commits with this message in it.
    Write(u8),
    Elect(u8),
    /// The lock is lost and the relay does not know.
    LoseLock(u8),
    Read(u8),
    Send(u8, Sending),
    Settle(u8),
    CrashRelay(u8),
    Process,
    CommitOffsets,
    CrashConsumer,
}

/// The fate of a message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Confirmed,
    Unconfirmed,
    Lost,
}

pub(crate) const FIRSTS_IN_ORDER: &str = "first occurrences of a key are in order";
pub(crate) const NOTHING_LOST: &str = "only what is in the topic is deleted from the outbox";
pub(crate) const PROCESSED_ONCE: &str = "nothing has its effect twice";
pub(crate) const ALL_PROCESSED: &str = "where nothing is left to be done, all had its effect";
pub(crate) const STEPS_DOWN: &str = "a relay that was replaced reads one batch more at most";

impl Model for Delivery {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            written: Set::default(),
            outbox: Set::default(),
            epoch: 0,
            holder: None,
            relays: [Relay::default(); 2],
            log: vec![],
            position: 0,
            committed: 0,
            inbox: Set::default(),
            effects: [0; MESSAGES as usize],
            left: self.bounds,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.enabled(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.act(&mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(FIRSTS_IN_ORDER, |_, world: &World| world.firsts_are_in_order()),
            Property::always(NOTHING_LOST, |_, world: &World| {
                world.written.iter().all(|id| world.outbox.has(id) || world.log.contains(&id))
            }),
            Property::always(PROCESSED_ONCE, |_, world: &World| {
                world.effects.iter().all(|n| *n <= 1)
            }),
            Property::always(ALL_PROCESSED, |_, world: &World| {
                !world.rests() || world.effects.iter().all(|n| *n >= 1)
            }),
            Property::always(STEPS_DOWN, |_, world: &World| {
                world.relays.iter().all(|relay| relay.stale_reads <= 1)
            }),
            Property::sometimes("all is done", |_, world: &World| world.rests()),
        ];
        if self.bounds.lost_locks > 0 {
            all.push(Property::sometimes("a message is published again", |_, world: &World| {
                world.log.len() > usize::from(MESSAGES)
            }));
            all.push(Property::sometimes(
                "a zombie has something in its hands",
                |_, world: &World| {
                    world.relays.iter().any(|relay| relay.is_stale(world) && !relay.hand.is_empty())
                },
            ));
        }
        all
    }
}

impl Told for Delivery {
    fn tell(&self, world: &World) -> String {
        format!("{world:#?}")
    }
}

impl World {
    /// Whether everything was written, published, read and said to be read.
    fn rests(&self) -> bool {
        self.written.iter().count() == usize::from(MESSAGES)
            && self.outbox.is_empty()
            && self.relays.iter().all(|relay| relay.hand.is_empty())
            && usize::from(self.committed) == self.log.len()
    }

    fn firsts_are_in_order(&self) -> bool {
        let is_first = |(at, id): &(usize, &u8)| !self.log[..*at].contains(id);
        self.log.iter().enumerate().filter(is_first).all(|(at, id)| {
            let before = (1..*id).filter(|other| are_of_one_key(*other, *id));
            before.into_iter().all(|n| self.log[..at].contains(&n))
        })
    }
}

impl Relay {
    fn is_stale(self, world: &World) -> bool {
        self.epoch.is_some_and(|n| n != world.epoch)
    }
}

impl Set {
    fn has(self, id: u8) -> bool {
        self.0 & 1 << id != 0
    }

    fn add(&mut self, id: u8) {
        self.0 |= 1 << id;
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (1..=MESSAGES).filter(move |n| self.has(*n))
    }
}

impl FromIterator<u8> for Set {
    fn from_iter<I: IntoIterator<Item = u8>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.add(id));
        set
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
