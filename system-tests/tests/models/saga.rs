//! One order through the four services: every succession in which messages, jobs, the gateway, the
//! clock, the customer and an operator can move, and every fault within the bounds.
//!
//! The four deciders are real; the messaging runtime between them is a model of that in `shared`.
//! A transaction is one step, and a process can crash between any two of its steps. Steps that
//! only their own process sees (the relay deletes what it has published, the consumer commits its
//! offset) are not told apart from the step before: they follow it, or a crash does.
//!
//! Every action uses up a bound or makes progress, so each path ends; a property of the states in
//! which no action is left is a property of ended orders.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::{
    deciders::{Deciders, inventory, order},
    flaws::Flaw,
    report::Told,
    words::{Copies, Service, Words},
};

pub(crate) use self::{
    actions::Action,
    gateway::{Book, Gateway},
    jobs::{Hand, Row},
};

mod actions;
mod gateway;
mod jobs;
mod messaging;
pub(crate) mod rules;

/// Bounds: faults and actions, and how often each may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that may happen or not")]
pub(crate) struct Bounds {
    /// There is a lamp.
    pub(crate) in_stock: bool,
    /// Another order takes the lamp and gives it back.
    pub(crate) rival: bool,
    pub(crate) told: bool,
    /// The gateway may decline.
    pub(crate) declines: bool,
    /// The gateway may charge a wrong amount.
    pub(crate) mischarges: bool,
    /// The customer may cancel.
    pub(crate) cancels: bool,
    /// The deadline may pass.
    pub(crate) deadline: bool,
    /// A day may pass, after which the gateway has forgotten its keys.
    pub(crate) expires: bool,
    /// Crashes of any process, at any step.
    pub(crate) crashes: u8,
    /// Relays that were replaced and publish late.
    pub(crate) zombies: u8,
    /// Workers that sleep through the end of their lease and wake up.
    pub(crate) sleepers: u8,
    /// Calls of the outside whose answer is lost or late.
    pub(crate) lost: u8,
    /// Calls that the outside refuses for now.
    pub(crate) refused: u8,
    /// What an operator may do: decide a review, redrive a dead job.
    pub(crate) operator: u8,
    /// Messages that cannot be processed when read; an operator redrives each at any time.
    pub(crate) dead_letters: u8,
}

#[derive(Debug)]
pub(crate) struct Saga {
    deciders: Arc<Deciders>,
    flaw: Flaw,
    bounds: Bounds,
    facts: rules::Facts,
}

/// The whole world of one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) order: u8,
    pub(crate) inventory: u8,
    pub(crate) payment: u8,
    pub(crate) notify: u8,
    /// Ever kept in an outbox.
    pub(crate) said: Words,
    /// In the outbox of the publishing service.
    pub(crate) outbox: Words,
    /// Published, and not read yet by each service.
    pub(crate) unread: [Copies; 4],
    /// Dead letters of each service.
    pub(crate) letters: [Words; 4],
    /// Processed by each service.
    pub(crate) inbox: [Words; 4],
    pub(crate) jobs: [Row; 6],
    /// Attempts that are being made.
    pub(crate) hands: [Option<Hand>; 2],
    pub(crate) gateway: Gateway,
    /// Mails that have left, of each kind.
    pub(crate) mails: [u8; 3],
    /// Faults and actions that are still allowed.
    pub(crate) left: Bounds,
    /// Rules that were broken on the way to this state.
    pub(crate) broken: rules::Broken,
}

impl Saga {
    /// A model of these deciders, with this flaw in the messaging runtime.
    pub(crate) fn new(deciders: &Arc<Deciders>, flaw: Flaw, bounds: Bounds) -> Self {
        let facts = rules::Facts::of(deciders);
        Self { deciders: Arc::clone(deciders), flaw, bounds, facts }
    }

    /// The world before the order is placed.
    fn first(&self) -> World {
        let mut world = World {
            order: 0,
            inventory: 0,
            payment: 0,
            notify: 0,
            said: Words::default(),
            outbox: Words::default(),
            unread: [Copies::default(); 4],
            letters: [Words::default(); 4],
            inbox: [Words::default(); 4],
            jobs: [Row::default(); 6],
            hands: [None; 2],
            gateway: Gateway::default(),
            mails: [0; 3],
            left: self.bounds,
            broken: rules::Broken::default(),
        };
        if self.bounds.in_stock {
            self.ask_inventory(&mut world, inventory::Ask::Introduce);
        }
        self.ask_order(&mut world, order::Ask::Place);
        world
    }
}

impl Model for Saga {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.first()]
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
        rules::all(&self.bounds)
    }
}

impl World {
    /// Whether a service's relay, consumer and jobs have nothing left to do, no dead letter is open
    /// and no request travels.
    pub(crate) fn rests(&self) -> bool {
        self.outbox.is_empty()
            && self.unread.iter().all(|unread| unread.is_empty())
            && self.letters.iter().all(|letters| letters.is_empty())
            && self.jobs.iter().all(|row| !row.is_live())
            && self.hands.iter().all(Option::is_none)
            && self.gateway.travelling == 0
    }

    /// A crash of this service: what it held in memory is gone. What it has sent may still arrive.
    fn crash(&mut self, service: Service) {
        self.left.crashes -= 1;
        for hand in &mut self.hands {
            if let Some(gone) = hand.take_if(|job| job.service() == service)
                && gone.is_on_its_way()
                && !self.gateway.has_forgotten
            {
                self.gateway.travelling += 1;
            }
        }
    }
}

impl Told for Saga {
    fn tell(&self, world: &World) -> String {
        let deciders = &self.deciders;
        format!(
            "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{world:#?}",
            deciders.order.state(world.order),
            deciders.inventory.state(world.inventory),
            deciders.payment.state(world.payment),
            deciders.notify.state(world.notify),
        )
    }
}
