//! The messaging runtime (outbox, relay, inbox, consumer, jobs) shared by the services.
//!
//! The modules are listed in the order in which a message passes through them. All four services
//! are built from these modules only, so a reader who knows one service knows all of them.
//!
//! **Architecture invariant:** no module here names an order, a product, a payment: other workflows
//! use the same runtime. The content of messages is in the crate `contract`, which depends on this
//! one.

#![warn(missing_docs)]

pub mod codec;
pub mod message;
pub mod schema_registry;
pub mod topics;

pub mod admission;
pub mod batch_wait;
pub mod batcher;
pub mod decider;
pub mod effects;
pub mod locked_rows;
pub mod outbox;
pub mod published;
pub mod relay;

pub mod consumer;
pub mod dead_letter;
pub mod inbox;
pub mod lag;
pub mod sequence;

pub mod backoff;
pub mod breaker;
pub mod jobs;

pub mod http;
pub mod idempotency;

pub mod housekeeping;
pub mod oneshot;
pub mod service;

pub mod clock;
pub mod config;
pub mod db;
pub mod dependency;
pub mod fault;
pub mod health;
pub mod kafka;
pub mod lifecycle;
pub(crate) mod log_throttle;
pub mod open_transactions;
pub mod sampled_metrics;
pub mod telemetry;
pub mod visible_text;
