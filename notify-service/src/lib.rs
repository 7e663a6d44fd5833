//! Owns what customers were told.
//!
//! Modules stand in the order in which a message travels through them.

pub mod domain;
