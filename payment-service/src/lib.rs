//! Owns payments; the only service that talks to the gateway.
//!
//! Modules are listed in reading order: the payment (`domain`), its requests (`request`), the only
//! entry for changes (`app`), the rows (`store`), the messages (`wire`), and the adapters.

pub mod domain;

pub mod app;
pub mod commands;
pub mod request;
mod store;
mod wire;

pub mod consumer;
pub mod http;

pub mod gateway;
pub mod jobs;

pub mod config;
mod metrics;
mod service;

pub use metrics::OpenPayments;
pub use service::{StartError, run};

/// This service: its consumer group, and the prefix of its dead-letter topic.
pub const NAME: &str = "payment-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
