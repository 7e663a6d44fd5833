//! The one integration test binary of the crate: the service's parts against real dependencies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bad_input;
mod cancel;
mod consumer;
mod document;
mod group;
mod kit;
mod open;
mod pages;
mod place;
mod placement;
mod rows;
mod service;
mod silence;
mod sweeper;
mod words;
