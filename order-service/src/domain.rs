//! Orders and their allowed changes.
//!
//! **Architecture invariant:** pure. No I/O, no clock, no randomness, no serialisation: time and
//! ids are part of the command; messages to be published are derived from the returned events.

pub mod catalogue;
pub mod contact;
pub mod draft;
pub mod money;
pub mod order;
