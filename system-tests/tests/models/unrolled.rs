//! A decider as a table: every reachable state, and the answer to every command in it.
//!
//! The answers come from the service's own `decide` and `evolve`, called once for each state and
//! command. Both are pure, so looking an answer up is calling them; and a state of the model is a
//! few bytes.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicBool, Ordering},
};

use shared::decider::{Decider, Decision};

use crate::words::Word;

/// Effects of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Say(Word),
    /// A job of this kind is to be done.
    Begin(Kind),
    /// A job of this kind is not to be done any more.
    Stop(Kind),
}

/// The kinds of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Charge,
    Resolve,
    Refund,
    MailConfirmed,
    MailCancelled,
    MailRefunded,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Charge,
        Self::Resolve,
        Self::Refund,
        Self::MailConfirmed,
        Self::MailCancelled,
        Self::MailRefunded,
    ];

    pub(crate) fn is_mail(self) -> bool {
        match self {
            Self::Charge | Self::Resolve | Self::Refund => false,
            Self::MailConfirmed | Self::MailCancelled | Self::MailRefunded => true,
        }
    }

    /// Its place in arrays.
    pub(crate) fn at(self) -> usize {
        self as usize
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Refused,
    Taken { to: u8, deeds: Vec<Deed> },
}

/// A decider's answer is bent by this before it counts: how mutants are made.
pub(crate) type Bend<D> =
    fn(&<D as Decider>::State, &<D as Decider>::Command, Decision<D>) -> Decision<D>;

#[derive(Debug)]
pub(crate) struct Unrolled<D: Decider> {
    states: Vec<D::State>,
    n_commands: usize,
    answers: Vec<Answer>,
    asked: Vec<AtomicBool>,
}

impl<D: Decider> Unrolled<D> {
    /// Unrolls a decider under these commands.
    pub(crate) fn new(
        commands: &[D::Command],
        bend: Bend<D>,
        deeds: fn(&D::Event) -> Vec<Deed>,
    ) -> Self {
        let mut states = vec![D::initial()];
        let mut answers = Vec::new();
        let mut from = 0;
        while let Some(state) = states.get(from).cloned() {
            for command in commands {
                let decision = bend(&state, command, D::decide(&state, command));
                answers.push(match decision {
                    Err(_rejection) => Answer::Refused,
                    Ok(events) => {
                        let next = events.iter().fold(state.clone(), D::evolve);
                        let to =
                            states.iter().position(|known| *known == next).unwrap_or_else(|| {
                                states.push(next);
                                states.len() - 1
                            });
                        let to = u8::try_from(to).unwrap();
                        Answer::Taken { to, deeds: events.iter().flat_map(deeds).collect() }
                    }
                });
            }
            from += 1;
        }
        let asked = answers.iter().map(|_| AtomicBool::new(false)).collect();
        Self { states, n_commands: commands.len(), answers, asked }
    }

    /// What it answers there.
    pub(crate) fn decide(&self, state: u8, command: usize) -> &Answer {
        let at = usize::from(state) * self.n_commands + command;
        self.asked[at].store(true, Ordering::Relaxed);
        &self.answers[at]
    }

    /// The state of this number.
    pub(crate) fn state(&self, state: u8) -> &D::State {
        &self.states[usize::from(state)]
    }

    /// Properties of each state.
    pub(crate) fn facts<F>(&self, fact: impl Fn(&D::State) -> F) -> Vec<F> {
        self.states.iter().map(fact).collect()
    }

    /// How many answers were asked for, of how many.
    pub(crate) fn coverage(&self) -> (usize, usize) {
        let asked =
            self.asked.iter().filter(|atomic_bool| atomic_bool.load(Ordering::Relaxed)).count();
        (asked, self.answers.len())
    }
}
