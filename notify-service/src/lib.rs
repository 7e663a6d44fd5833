//! Owns what customers were told.
//!
//! Modules stand in the order in which a message travels through them.

pub mod consumer;

mod wire;

pub mod app;
pub mod domain;
mod store;

pub mod jobs;

use sqlx::migrate::Migrator;

/// This service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();
