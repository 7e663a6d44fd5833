//! Dead letters: messages that cannot be processed and jobs that were given up, stored unchanged
//! with the reason until an operator decides.
//!
//! ```text
//!                ┌── fails again: attempts + 1, the new reason ──┐
//!                v                                               │
//! fails ──> open ──redrive──> processed like any message ────────┤
//!                │                                               v
//!                └──discard, with a reason──────────────────> closed
//! ```
//!
//! A dead letter is a row here and a copy on `<service>.dlq`, both in one transaction with the
//! inbox: nothing is lost, and the partition goes on. Later messages of its key go on too, so a
//! dead letter that is redriven is a very late message. Handlers process messages in any order
//! (`ADR 11`): a late message has the same final result as one in time, and a snapshot that is
//! older than the stored state changes nothing.
//!
//! A message of this service that the broker never accepts (`unpublishable`) moves here from the
//! outbox, with a copy like the others. A redrive puts it back into the outbox.
//!
//! A job that was given up is its row in `messaging.job` and a copy, without a body, on that topic.
//!
//! An operator's decision goes through [`DeadLetterAdmin`], which carries it out: the consumer
//! processes a message, a job goes back to its workers.
//!
//! **Architecture invariant:** a message comes here only if the fault is proven to be its own. A
//! database, broker or registry that is away is no reason.
//!
//! **Architecture invariant:** a decision and its effects are one transaction, and the decision is
//! stored. A repeated decision finds the letter closed: redriving twice processes once.

pub(crate) use self::place::MessagePlace;
pub use self::{
    actor::{Actor, InvalidActor},
    admin::{DeadLetterAdmin, RetryDeadJob, RetryDeadMessage},
    letter_sampler::LetterSampler,
    list::{
        LetterDecision, LetterFilter, LetterRecord, LetterSummary, ReasonCount, StoredLetter,
        decisions, list, reasons, show,
    },
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
    /// The envelope cannot be read: headers missing or malformed, key and subject differ.
    Envelope,
    /// The body is not a record of its topic.
    Body,
    /// The id belongs to an earlier message with other content.
    ReusedId,
    /// The decider says that this can never happen.
    Contradiction,
    /// Processing fails, also alone and every time.
    Unprocessable,
    /// A message of this service that the broker does not accept.
    Unpublishable,
}

impl FailureReason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 6] = [
        Self::Envelope,
        Self::Body,
        Self::ReusedId,
        Self::Contradiction,
        Self::Unprocessable,
        Self::Unpublishable,
    ];

    /// The stable code, as stored, labelled and shown.
    pub fn code(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Body => "body",
            Self::ReusedId => "reused-id",
            Self::Contradiction => "contradiction",
            Self::Unprocessable => "unprocessable",
            Self::Unpublishable => "unpublishable",
        }
    }
}

/// A message that can never be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'m> {
    /// The message as it was received.
    pub incoming: &'m IncomingMessage,
    /// The kind of fault.
    pub reason: FailureReason,
    /// The detailed description of the fault.
    pub detail: String,
}

/// A reason quotes external text: cut to a readable length, and without characters that a text
/// column refuses.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(1_000).collect()
}
