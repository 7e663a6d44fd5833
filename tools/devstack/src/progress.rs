//! Reports the progress of a start to the caller.

use std::fmt;

use crate::StackPart;

/// Someone who is told how a start gets on: one line per part.
pub trait StartProgress: Send + Sync {
    /// `part` is now in this state.
    fn state(&self, part: StackPart, state: &PartState);
}

/// The current step of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Something is fetched or made ready, once per machine.
    Installing(String),
    /// The server is starting.
    Starting,
    /// The server will lack something, and this is what the user can do about it.
    Lacking(String),
    /// The server answers at this address.
    Ready(String),
}

impl fmt::Display for PartState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installing(what) => write!(formatter, "installing {what}"),
            Self::Starting => formatter.write_str("starting"),
            Self::Lacking(what) => formatter.write_str(what),
            Self::Ready(address) => write!(formatter, "ready at {address}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct SilentProgress;

impl StartProgress for SilentProgress {
    fn state(&self, _: StackPart, _: &PartState) {}
}
