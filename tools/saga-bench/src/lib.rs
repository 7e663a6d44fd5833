//! The four services in one process, over a real Postgres and nothing else.
//!
//! ```text
//! place B orders ──┐
//!                  v
//!   order ─ inventory ─ payment ─ notify     each: consume · work on jobs · publish, B at a time
//!     ^                                │
//!     └── messages of this round, read ┘ in the next one
//! ```
//!
//! The services' own handlers, batchers, relays and workers run here, with the same statements in
//! the same batches as in production. Kafka is a list in memory, the gateway and the mail server
//! are answers that take no time. So what a run costs is what the database costs, and with a fixed
//! batch the counts of two runs are equal.
//!
//! Used by the control of `cargo xtask controls`, by the test that holds the counts per order, and
//! by the benchmarks in `benches/parts`.

pub mod instant_job;
pub mod memory_log;
pub mod order_mix;
pub mod saga;
pub mod saga_cost;
pub mod saga_setup;
pub mod server_counters;
pub mod service_core;
pub mod service_parts;
