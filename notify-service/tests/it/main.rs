//! notify-service against a real Postgres, a real broker and a real mail server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod faults;
mod http;
mod kit;
mod mailbox;
mod mails;
mod message_order;
mod peer;
mod refusals;
mod service;
mod slow;
