//! The one integration test binary of the crate: each room against real parts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod admission;
mod begun_anew;
mod census;
mod codec;
mod consumer;
mod dead_jobs;
mod dead_letters;
mod desk;
mod door;
mod errand;
mod guard;
mod held_topics;
mod housekeeping;
mod idempotency;
mod inbox;
mod intake;
mod job_outcomes;
mod jobs;
mod kit;
mod lag;
mod lanes_model;
mod log_loss;
mod outbox;
mod probe;
mod process;
mod redrivers;
mod registry;
mod relay;
mod relay_leaders;
mod sequence;
mod stopped_jobs;
mod tls;
mod topics;
mod vitals;
