//! What a payment is and how it may change. No I/O, no clock, no serialisation.

pub mod payment;
