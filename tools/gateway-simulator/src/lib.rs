//! A payment gateway with faults, as a process of its own: the independent witness of every charge.
//!
//! Modules are listed in the order in which a request passes them: [`server`] accepts the
//! connection (`cuttable`), `http` reads the request and draws its faults (`faults`), the
//! `executor` decides it against the `ledger`, writes it to the [`journal`] and only then answers
//! in the shapes of [`api`].
//!
//! **Architecture invariant:** this crate shares no code with the services. A witness that shares
//! code with the observed services would share their bugs.
//!
//! **Architecture invariant:** nothing is answered, and nothing can be read, before it is in the
//! journal. Everything that a client or a test has seen is still there after `kill -9`.

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
