//! Owns products, stock and reservations.
//!
//! Modules are listed in the order in which a command passes them: the decision (`domain`), the
//! only entry for changes (`app`), the rows (`store`), the messages (`wire`), the inbound adapters.

pub mod domain;

pub mod app;
mod store;
mod wire;

pub mod commands;
pub mod consumer;
pub mod http;
pub mod request;
pub mod seed;

pub mod config;
mod metrics;
mod service;

pub use service::run;

/// This service: its consumer group, and the prefix of its dead-letter topic.
pub const NAME: &str = "inventory-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
