//! Dead letters: messages that cannot be processed, and jobs that were given up, kept as they came,
//! with the reason, until an operator decides.
//!
//! ```text
//!                ┌── fails again: attempts + 1, the new reason ──┐
//!                v                                               │
//! fails ──> open ──redrive──> processed like any message ────────┤
//!                │                                               v
//!                └──discard, with a reason──────────────────> closed
//! ```
//!
//! A dead letter is a row here and a copy on `<service>.dlq`, both in one transaction with the inbox:
//! nothing is lost, and the partition goes on. Later messages of its key go on too, so a dead letter
//! that is redriven is a very late message. Handlers process messages in any order (`ADR 11`): what is
//! late ends where it would have ended in time, and a snapshot that is older than what is known
//! changes nothing.
//!
//! A message of our own that the broker never accepts (`unpublishable`) comes here out of the outbox,
//! with a copy like the others. Redriven it goes back into the outbox.
//!
//! A job that was given up is its row in `messaging.job` and a copy on the same topic, without a body.
//!
//! What an operator decides goes through [`DeadLetterAdmin`], which has it carried out: a message is
//! processed by the consumer, a job goes back to its workers.
//!
//! **Architecture invariant:** only what is proven to be the message's own fault comes here. A
//! database, broker or registry that is away is no reason.
//!
//! **Architecture invariant:** a decision and what comes of it are one transaction, and the decision
//! is kept. Repeated, it finds the letter closed: redriving twice processes once.

pub use self::{
    actor::{Actor, InvalidActor},
    admin::{DeadLetterAdmin, RetryDeadJob, RetryDeadMessage},
    letter_sampler::LetterSampler,
    list::{
        LetterDecision, LetterFilter, LetterRecord, LetterSummary, ReasonCount, StoredLetter,
        decisions, list, reasons, show,
    },
    place::MessagePlace,
    resolution::{Resolution, ResolutionError},
    resolve::purge,
    store::keep,
};
pub(crate) use self::{admin::discard_job, place::known};

mod actor;
mod admin;
pub(crate) mod decisions;
mod letter_sampler;
mod list;
mod place;
mod resolution;
pub(crate) mod resolve;
pub(crate) mod store;
pub(crate) mod unpublishable;

use crate::message::IncomingMessage;

/// Why a message is dead. The code is stable: people and dashboards count by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
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

impl FailureReason {
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
    pub incoming: &'m IncomingMessage,
    /// The kind of fault.
    pub reason: FailureReason,
    /// What exactly is wrong.
    pub detail: String,
}

/// A reason quotes what a stranger sent: cut to a readable length, and without what a text column
/// refuses.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(1_000).collect()
}
