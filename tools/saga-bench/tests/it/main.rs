//! The saga in one process, on a real Postgres, and what an order costs there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod counts;
mod whole_saga;
