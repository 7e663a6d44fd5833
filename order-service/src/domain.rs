//! What an order is and how it may change.
//!
//! **Architecture invariant:** pure. No I/O, no clock, no randomness, no serialisation: time and
//! ids arrive in the command, what is to be said comes back as events.

pub mod catalogue;
pub mod contact;
pub mod draft;
pub mod money;
pub mod order;
