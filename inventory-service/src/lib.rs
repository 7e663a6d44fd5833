//! Owns products, stock and reservations.
//!
//! Modules stand in the order in which a command travels: what is decided, the one road by which
//! anything changes, its rows, its words, and the doors that lead in.

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
