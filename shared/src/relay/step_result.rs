//! What a step of the relay did, and why one fails.
//!
//! A step that failed changed nothing that the next one would not find: the outbox is read again from
//! its head.

use crate::fault::Fault;

/// The result of one step of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayStep {
    /// This number of messages was published and settled; there may be more.
    Published(usize),
    /// A topic is held, or held longer; other topics may go on.
    Held,
    /// There was nothing to publish.
    Idle,
    /// Some messages were not confirmed; this number was.
    Unconfirmed(usize),
    /// Another instance's relay holds the lease.
    Standby,
    /// Another relay took over: the last published messages were not settled here.
    Deposed,
    /// The relay could not publish for too long, and gave up leadership.
    GaveUp,
    /// The relay gave up leadership before, and is not a candidate yet.
    Resting,
}

/// Why a step failed. All errors are transient.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The outbox could not be read or settled.
    #[error("the outbox is out of reach")]
    Outbox(#[from] sqlx::Error),
    /// A record that the broker refuses could not be moved to the dead letters.
    #[error("a record could not be moved to the dead letters")]
    Bury(#[from] Fault),
}
