//! The one integration test binary of the crate: each module against real servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

// `records.rs` is compiled into the unit tests, too: there both are in the codec.
use shared::codec::{Record, timestamp_micros};

mod admission;
mod batcher;
mod begun_anew;
mod born_jobs;
mod ceiling;
mod codec;
mod committed_metrics;
mod consumer;
mod dead_jobs;
mod dead_letter_admin;
mod dead_letters;
mod dead_letters_model;
mod dead_rows;
mod emptied_registry;
mod failure_limit;
mod held_topics;
mod housekeeping;
mod idempotency;
mod inbox;
mod job_leases;
mod job_outcomes;
mod jobs;
mod kit;
mod lag;
mod log_loss;
mod migrations;
mod oneshot;
mod open_transactions;
mod outbox;
mod pooler;
mod port_switch;
mod probe;
mod process;
mod process_metrics;
mod reading;
mod records;
mod recovery;
mod redrivers;
mod registry;
mod registry_proxy;
mod relay;
mod relay_certificates;
mod relay_leaders;
mod sampled_metrics;
mod schema_ids;
mod sequence;
mod stopped_jobs;
mod tls;
mod topics;
