//! What is told to customers, and when. No I/O, no clock, no wire.

pub mod notification;
