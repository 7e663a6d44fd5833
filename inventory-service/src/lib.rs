//! Owns products, stock and reservations.
//!
//! Modules stand in the order in which a command travels.

pub mod domain;
