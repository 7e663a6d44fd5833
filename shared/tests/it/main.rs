//! The one integration test binary of the crate: each room against real parts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod admission;
mod begun_anew;
mod ceiling;
mod census;
mod codec;
mod consumer;
mod dead_jobs;
mod dead_letter_admin;
mod dead_letters;
mod dead_letters_model;
mod dead_rows;

mod door;
mod emptied_registry;
mod errand;
mod guard;
mod held_topics;
mod housekeeping;
mod idempotency;
mod inbox;
mod intake;
mod job_leases;
mod job_outcomes;
mod jobs;
mod kit;
mod lag;

mod log_loss;
mod migrations;
mod outbox;
mod pooler;
mod probe;
mod process;
mod reading;
mod recovery;
mod redrivers;
mod registry;
mod registry_proxy;
mod relay;
mod relay_certificates;
mod relay_leaders;
mod schema_ids;
mod sequence;
mod stopped_jobs;
mod tls;
mod topics;
mod vitals;
mod writers;
