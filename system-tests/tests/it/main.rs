//! The four services together, as processes, on a real Kafka and a real Postgres; and the rules of
//! this code base.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod again;
mod audit;
mod bad_input;
mod bad_messages;
mod brokers;
mod chaos;
mod containers;
mod controls;
mod crash;
mod crowd;
mod demo;
mod emptied_registry;
mod few_connections;
mod foreign;
mod kafka_proxy;
mod leaders;
mod letters;
mod lifecycle;
mod load_tool;
mod log_loss;
mod numbers;
mod operator;
mod poison;
mod raw;
mod read;
mod refused;
mod review;
mod secure;
mod settings;
mod smoothing;
mod stage;
mod statement_plans;
mod tidy;
mod trace;
mod trace_state;
mod unread;
mod unread_topics;
mod watch;
mod ways;
