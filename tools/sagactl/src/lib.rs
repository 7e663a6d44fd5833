//! The operator's command line: the audit, dead letters, payments, topics and schemas.
//!
//! Nothing here installs or starts a server. `xtask`, the developers' command line, uses this
//! crate's audit, terminal output and HTTP client.

pub mod cli;
pub mod program;

pub mod demo_presence;
pub mod http_client;
pub mod screen;
pub mod signal;

pub mod audit;
pub mod contract_setup;
pub mod dead_letters;
pub mod payments;
