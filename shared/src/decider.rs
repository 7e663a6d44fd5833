//! The decider: the form of every domain core in this workspace.
//!
//! **Architecture invariant:** a decider is two pure, synchronous functions. Time and ids arrive
//! in the command; messages to send and jobs to do are returned as events.

use std::{collections::HashMap, fmt::Debug, hash::Hash};

pub mod table;

/// A domain core: two pure functions over one state.
///
/// Law: `evolve` need only be defined for events that `decide` returned for that very state, so it
/// cannot fail.
pub trait Decider {
    /// What is known before the decision.
    type State: Clone + Debug + PartialEq;
    /// A request to change the state, with its time and ids.
    type Command: Debug;
    /// A fact that changes the state when it is applied.
    type Event: Clone + Debug + PartialEq;
    /// Why a command is refused.
    type Rejection: Debug + PartialEq;

    /// The state before anything has happened.
    fn initial() -> Self::State;

    /// Answers a command with the events that follow from it.
    ///
    /// No events means the command has nothing left to do: it is a repeat, and harmless.
    fn decide(
        state: &Self::State,
        command: &Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Applies one event to the state.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;
}

/// The decider's answer to one command.
pub type Decision<D> = Result<Vec<<D as Decider>::Event>, <D as Decider>::Rejection>;

/// Decides one command and applies the resulting events to the state.
///
/// The state is moved, not copied: one that holds a whole batch's rows costs no more to step than
/// a small one.
pub fn step<D: Decider>(state: &mut D::State, command: &D::Command) -> Decision<D> {
    let events = D::decide(state, command)?;
    for event in &events {
        *state = D::evolve(std::mem::replace(state, D::initial()), event);
    }
    Ok(events)
}

/// Decides many commands in their order; those of one key follow each other in memory.
///
/// `states` holds what was loaded; a key that is missing starts from [`Decider::initial`].
/// Afterwards it holds what is to be saved. Answers stand in the order of the commands.
#[expect(clippy::implicit_hasher, reason = "states are made for this call and by one hasher")]
pub fn fold<'c, D, K>(
    states: &mut HashMap<K, D::State>,
    commands: impl IntoIterator<Item = (&'c K, &'c D::Command)>,
) -> Vec<Decision<D>>
where
    D: Decider,
    D::Command: 'c,
    K: Clone + Eq + Hash + 'c,
{
    commands
        .into_iter()
        .map(|(key, command)| {
            let state = states.entry(key.clone()).or_insert_with(D::initial);
            step::<D>(state, command)
        })
        .collect()
}

/// The state that a history leads to.
pub fn replay<D: Decider>(history: &[D::Event]) -> D::State {
    history.iter().fold(D::initial(), D::evolve)
}

/// Starts a test from a history: `given(..).when(..).then(..)`.
pub fn given<D: Decider>(history: impl Into<Vec<D::Event>>) -> GivenState<D> {
    GivenState(replay::<D>(&history.into()))
}

/// A state to decide from.
#[derive(Debug)]
pub struct GivenState<D: Decider>(D::State);

/// A decision to check.
#[derive(Debug)]
pub struct WhenCommand<D: Decider>(Decision<D>);

impl<D: Decider> GivenState<D> {
    /// Decides the command on the state that the given events led to.
    #[must_use]
    pub fn when(self, command: &D::Command) -> WhenCommand<D> {
        WhenCommand(D::decide(&self.0, command))
    }
}

impl<D: Decider> WhenCommand<D> {
    /// Checks that exactly these events follow.
    #[track_caller]
    pub fn then(self, expected: impl Into<Vec<D::Event>>) {
        assert_eq!(self.0, Ok(expected.into()));
    }

    /// Checks that nothing follows: the command is a repeat.
    #[track_caller]
    pub fn then_nothing(self) {
        assert_eq!(self.0, Ok(vec![]));
    }

    /// Checks that the command is refused.
    #[track_caller]
    pub fn then_rejected(self, expected: D::Rejection) {
        assert_eq!(self.0, Err(expected));
    }
}
