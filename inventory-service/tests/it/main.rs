//! The one integration test binary of the crate: against a real Postgres and a real registry.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod chance;
mod kit;
mod ledger;
mod orders;
mod products;
mod rivals;
mod seeds;
mod service;
mod shop;
