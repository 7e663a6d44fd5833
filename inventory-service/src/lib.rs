//! Owns products, stock and reservations.
//!
//! Modules stand in the order in which a command travels.

pub mod domain;

pub mod app;
mod store;
mod wire;

pub mod consumer;

/// This service's name: its consumer group, its dead-letter topic, its word in logs.
pub const SERVICE: &str = "inventory-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
