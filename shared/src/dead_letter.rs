//! Messages that can never be taken in, and jobs that were given up: kept as they came, with the
//! reason, until a person decides.
//!
//! ```text
//!                      ┌── fails again: attempts + 1, the new reason ──┐
//!                      v                                               │
//! dies ──> open (its lane waits: later messages are parked) ──redrive──┤
//!                      │                                               v
//!                      └──discard, with a reason──> settled ──> parked go on, in order ──> closed
//! ```
//!
//! A dead letter is a row here and a copy on `<service>.dlq`, both in one transaction with the
//! inbox: nothing is lost, and the partition goes on. A lane is a topic and a key: while it has an
//! open letter, later messages of it are *parked* behind the letter; other lanes flow. What has no
//! readable outside is in nobody's lane, so nothing waits behind it.
//!
//! A message of our own that the broker never takes (`unpublishable`) comes here out of the outbox, with
//! a copy like the others. Nothing waits behind it, and redriven it goes back into the outbox.
//!
//! A job that was given up is its row in `messaging.job` and a copy on the same topic, without a body.
//!
//! What an operator decides goes through the [`Desk`]; it carries out nothing by itself. A letter
//! is taken in by the road of every message (`consumer`), a job goes back to its workers (`jobs`).
//!
//! **Architecture invariant:** only what is proven to be the message's own fault comes here. A
//! database, broker or registry that is away is no reason.
//!
//! **Architecture invariant:** a lane has one open letter at most, and whatever waits behind it goes
//! on in the order in which it came. Who parks holds the letter's row shared, who settles it holds
//! it alone: so nothing is parked behind a letter that is closed at the same moment.
//!
//! **Architecture invariant:** a decision and what comes of it are one transaction, and the decision
//! is kept. Asked again, it finds the letter settled: redriving twice takes in once.

pub use self::{
    by::{BadName, By},
    census::Letters,
    desk::{Carried, Desk, Error, Road},
    keep::keep,
    lane::{Lane, Place},
    list::{
        Decided, Filter, Letter, ReasonCount, Shown, Summary, Waiting, decisions, list, reasons,
        show,
    },
    settle::purge,
};

pub(crate) mod audit;
mod by;
mod census;
mod desk;
pub(crate) mod keep;
pub(crate) mod lane;
mod list;
pub(crate) mod settle;
pub(crate) mod unpublishable;

use crate::message::Incoming;

/// Why a message is dead. The code is stable: people and dashboards count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The outside cannot be read: headers missing or malformed, key and subject differ.
    Envelope,
    /// The body is not what its topic carries.
    Body,
    /// Its id was used before, for something else.
    Imposter,
    /// The decider says that this can never happen.
    Contradiction,
    /// Taking it in fails, alone and every time.
    Unprocessable,
    /// A message of our own that the broker does not take.
    Unpublishable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Envelope,
        Self::Body,
        Self::Imposter,
        Self::Contradiction,
        Self::Unprocessable,
        Self::Unpublishable,
    ];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Body => "body",
            Self::Imposter => "imposter",
            Self::Contradiction => "contradiction",
            Self::Unprocessable => "unprocessable",
            Self::Unpublishable => "unpublishable",
        }
    }
}

/// A message that can never be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'m> {
    /// As it came.
    pub incoming: &'m Incoming,
    /// Whose it is, if that can be known.
    pub lane: Option<Lane>,
    /// The kind of fault.
    pub reason: Reason,
    /// What exactly is wrong.
    pub detail: String,
}

/// A reason quotes what a stranger sent: cut to a readable length, and without what a text column
/// refuses.
fn printable(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(1_000).collect()
}
