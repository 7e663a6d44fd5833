//! Owns what customers were told.
//!
//! Modules stand in reading order: what is told and when, the one road by which that changes, its
//! rows, its words, and the doors that lead in and out.

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
