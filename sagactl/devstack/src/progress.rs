//! How a start is told to whoever watches it.

use std::fmt;

use crate::Part;

/// Someone who is told how a start gets on: one line per part.
pub trait Progress: Send + Sync {
    /// `part` is now in this state.
    fn state(&self, part: Part, state: &State);
}

/// What a part is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Something is fetched or made ready, once per machine.
    Installing(String),
    /// The server is starting.
    Starting,
    /// The server answers at this address.
    Ready(String),
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installing(what) => write!(formatter, "installing {what}"),
            Self::Starting => formatter.write_str("starting"),
            Self::Ready(address) => write!(formatter, "ready at {address}"),
        }
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn state(&self, _: Part, _: &State) {}
}
