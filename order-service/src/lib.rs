//! Owns orders: the public REST API, the order's saga, its deadline.
//!
//! Modules are listed in reading order: the order itself (`domain`), the only entry for changes
//! (`app`), the rows (`store`), the messages (`wire`), and the inbound adapters.

pub mod domain;

pub mod app;
pub mod commands;
pub mod request;
pub mod store;
pub mod wire;

pub mod consumer;
pub mod http;
pub mod sweeper;

pub mod config;
mod metrics;
mod service;

pub use metrics::OpenOrders;
pub use service::{StartError, run};

/// This service: its consumer group, its source, the prefix of its dead-letter topic.
pub const NAME: &str = "order-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
