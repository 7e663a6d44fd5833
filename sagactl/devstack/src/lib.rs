//! A real Kafka, Postgres, schema registry and mail sink: given, in Docker, or as local processes.
//!
//! Tests, the demo and the load generator all begin here, so that none of them ever meets a stand-in.
//!
//! **Architecture invariant:** nothing that is started here outlives the process that started it,
//! whatever becomes of that process.

mod config;
mod docker;
mod error;
mod for_tests;
mod native;
mod probe;
mod progress;
mod stack;

pub use docker::docker_answers;
pub use error::Error;
pub use for_tests::{database, shared, unique_prefix};
pub use native::tool::Tool;
pub use progress::{Progress, Silent, State};
pub use stack::{Durability, Halt, Part, Parts, Source, Stack, Urls};
