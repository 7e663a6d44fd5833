//! Owns payments; the only service that talks to the gateway.
//!
//! Modules stand in reading order: what a payment is, what is asked of it, the one road by which it
//! changes, its rows, its words, and the doors that lead in.

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

pub use service::{StartError, run};

/// This service: its consumer group, and the prefix of its dead-letter topic.
pub const NAME: &str = "payment-service";

/// The tables of this service.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();
