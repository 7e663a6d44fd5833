//! The gateway from outside: the real process, spoken to over HTTP, and its log read beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cards;
mod faults;
mod health;
mod idempotency;
mod lists;
mod refunds;
mod restart;
mod simulator;
mod stopping;
