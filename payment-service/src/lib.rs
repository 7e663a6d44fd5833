//! Owns payments; the only service that talks to the gateway.
//!
//! Modules stand in reading order: what a payment is, the one road by which it changes, its rows,
//! its words, and the doors that lead in.

pub mod domain;
