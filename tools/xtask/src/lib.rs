//! The developers' command line: the demo, the load, faults, fuzzing and every check of this
//! repository, with the servers and the services as local processes or in containers.
//!
//! No service contains or uses code of this crate.

pub mod cargo;
pub mod cli;

pub mod client;
pub mod cluster;
pub mod source;
pub mod stack_progress;

pub mod chaos;
pub mod compose;
pub mod controls;
pub mod demo;
mod documents;
pub mod fuzz;
mod http_collection;
pub mod load;
pub mod manifests;
pub mod poison;
pub mod process_account;
pub mod readme;
pub mod stack;
pub mod stress;
pub mod verify;
