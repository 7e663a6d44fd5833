//! Payments and their allowed changes. No I/O, no clock, no serialisation.

pub mod payment;
