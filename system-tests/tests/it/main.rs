//! The four services together, as processes, on a real Kafka and a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod crash;
mod crowd;
mod foreign;
mod poison;
mod stage;
mod ways;
