//! Owns orders: the public REST API, the order's saga, its deadline.
//!
//! Modules stand in reading order: what an order is, the one road by which it changes, and then the
//! doors to that road.

pub mod domain;

pub mod app;
pub mod store;
pub mod wire;

pub mod consumer;

/// The name of this service: its consumer group, its source, its dead letters.
pub const SERVICE: &str = "order-service";

/// The tables of this service.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
