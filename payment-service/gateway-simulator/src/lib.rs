//! A payment gateway with faults, as a process of its own: the independent witness of every charge.
//!
//! Modules stand in the order in which a request travels: [`server`] takes the connection
//! (`line`, which can be cut), `http` reads the request and draws its fate (`faults`), the `desk`
//! decides it against the `ledger`, writes it to the [`journal`] and only then answers in the
//! shapes of [`api`].
//!
//! **Architecture invariant:** this crate shares no code with the services. A witness that shares
//! code with whom it watches shares its bugs.
//!
//! **Architecture invariant:** nothing is answered, and nothing can be read, before it is in the
//! journal. What a client or a test has seen is still there after `kill -9`.

pub mod server;

mod cuttable;

mod http;

mod faults;

mod executor;
mod ledger;

pub mod api;
pub mod journal;

pub mod arguments;
pub mod output;
pub mod question;

mod clock;
