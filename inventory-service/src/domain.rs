//! Products, stock and reservations, and their allowed changes. Pure: no I/O, no clock, no
//! randomness.
//!
//! [`inventory`] is the decider; [`reservation`] and [`product`] hold its two tables, [`stock`] the
//! arithmetic that both use, [`naming`] the value types that all of them use, [`rejection`]
//! the reasons for a refusal.

pub mod inventory;
pub mod naming;
pub mod product;
pub mod rejection;
pub mod reservation;
pub mod stock;
