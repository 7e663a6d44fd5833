//! The one integration test binary of the crate: each room against real parts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod codec;
mod door;
mod patience;
mod registry;
mod topics;
mod consumer;
mod inbox;
mod kit;
mod outbox;
mod relay;
mod stopped_jobs;
