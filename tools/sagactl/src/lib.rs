//! The operator's command line: orders, payments, dead letters, the audit, topics and schemas.
//!
//! Nothing here installs or starts a server. `xtask`, the developers' command line, uses this
//! crate's audit, terminal output and HTTP client.

pub mod cli;
pub mod program;

mod admin_urls;
mod broker_choice;
pub mod demo_presence;
pub mod http_client;
mod invocation;
pub mod refusal;
pub mod screen;
pub mod service_client;
pub mod service_name;
pub mod signal;
pub mod system_addresses;
mod text_table;
pub mod which_system;

pub mod audit;
pub mod contract_setup;
pub mod dead_letters;
pub mod orders;
pub mod payments;
