//! payment-service against a real Postgres, a real registry and the real gateway simulator.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod consumer;
mod forgetful;
mod free;
mod gateway;
mod http;
mod kit;
mod letters;
mod money;
mod open;
mod outage;
mod process;
mod refused_refunds;
mod review;
mod simulator;
