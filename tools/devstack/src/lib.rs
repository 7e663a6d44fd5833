//! A real Kafka, Postgres, schema registry and mail sink: given, in Docker, or as local processes.
//!
//! Tests, the demo and the load generator all begin here, so that none of them ever meets a stand-in.
//! Tests ask [`shared`]; others [`ServerStack::start`]; the binary `devstack` holds a stack for a command.
//!
//! | environment | says |
//! | --- | --- |
//! | `SAGA_STACK` | `native` (as if unset) or `docker`: what is started if no addresses are given |
//! | `SAGA_STACK_BROKERS` | Kafka's `host:port` |
//! | `SAGA_STACK_POSTGRES` | a superuser's URL, with the database `postgres` |
//! | `SAGA_STACK_REGISTRY` | the schema registry's base URL, with its path |
//! | `SAGA_STACK_SMTP` | the mail server's `host:port` |
//! | `SAGA_STACK_MAIL_API` | the base URL of Mailpit's API |
//! | `SAGA_STACK_CACHE` | where servers are installed; else the system's cache folder |
//!
//! **Architecture invariant:** nothing that is started here outlives the process that started it,
//! whatever becomes of that process.

pub mod cli;
mod config;
mod docker;
mod error;
mod for_tests;
mod limit;
mod native;
mod part;
mod patience;
mod prefix;
mod probe;
mod process_exit;
mod progress;
mod stack;

pub use docker::docker_answers;
pub use error::StackError;
pub use for_tests::{database, shared};
pub use limit::{InVain, WaitLimit};
pub use native::{
    authority::SecuredServers,
    go::{go_answers, go_module, go_program},
    pooler::{PoolMode, RunningPooler},
    ports::PortPair,
    prometheus::{RunningPrometheus, promtool},
    python::wheels,
    server::signs::processor_time,
    tool::InstallTool,
};
pub use part::{
    EndedPart, MovedPart, ServerSource, StackPart, StackUrls, StopMode, StorageDurability,
    WantedParts,
};
pub use patience::{TestWait, none_left, until};
pub use prefix::unique_prefix;
pub use process_exit::ProcessExit;
pub use progress::{PartState, SilentProgress, StartProgress};
pub use stack::ServerStack;
