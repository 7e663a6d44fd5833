//! The stack, asked as its users ask it, and treated as badly as they may treat it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod faults;
mod kafka;
mod leash;
mod servers;
mod sources;
