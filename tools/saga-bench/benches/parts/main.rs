//! Benchmarks of the parts of a saga, each of which can be run alone by its name:
//!
//! ```text
//! cargo run --release --bin xtask -- stack -- cargo bench -p saga-bench --bench parts -- relay_alone
//! ```
//!
//! `records` and `deciders` need no servers.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by panicking")]

mod commands;
mod deciders;
mod event_log;
mod fixture;
mod records;
mod tables;

fn main() {
    divan::main();
}
