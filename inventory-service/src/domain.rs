//! What products, stock and reservations are and how they may change. Pure: no I/O, no clock, no
//! randomness.
//!
//! [`inventory`] is the decider; [`reservation`] and [`product`] hold its two tables, [`stock`] the
//! arithmetic that both move, [`naming`] the words that all of them use, [`rejection`]
//! the reasons for a refusal.

pub mod inventory;
pub mod naming;
pub mod product;
pub mod rejection;
pub mod reservation;
pub mod stock;
