//! Owns what customers were told.
//!
//! Modules are listed in reading order: the notifications (`domain`), the only entry for changes
//! (`app`), the rows (`store`), the messages (`wire`), and the inbound and outbound adapters.

pub mod domain;

pub mod app;
mod store;
mod wire;

pub mod consumer;
pub mod http;
pub mod jobs;
pub mod request;

pub mod config;
mod metrics;
mod service;

pub use service::run;

/// This service: its consumer group, and the prefix of its dead-letter topic.
pub const NAME: &str = "notify-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
