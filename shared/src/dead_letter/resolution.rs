//! The outcome of an operator's decision, and the errors that prevent one.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// The outcome of a decision, also as an answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Resolution {
    /// No letter of that id is open.
    NotOpen,
    /// The letter failed again and stays open.
    StillDead {
        /// How often it has failed.
        attempts: i32,
        /// The code of the reason.
        reason: String,
        /// The detail of the error.
        detail: String,
    },
    /// The letter is closed: processed, or discarded.
    Settled,
    /// The job goes back to its workers, or the message to the outbox.
    PutBack,
}

/// Why a decision cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ResolutionError {
    /// A redrive would do harm.
    #[error("it may not be tried again: {0}")]
    Refused(String),
    /// Discarding the letter would leave something open for good.
    #[error("it may not be discarded: {0}")]
    Needed(String),
    /// The decision failed for a reason that is not the letter's.
    #[error("the decision could not be carried out")]
    Fault(#[from] Fault),
}

impl From<sqlx::Error> for ResolutionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}
