//! Notifications to customers, and when they are due. No I/O, no clock, no wire.

pub mod notification;
