//! The parts of the operator's command line: the native stack and the services as processes, a
//! client for them, the demo, the load, the audit, dead letters, and the whole test run.
//!
//! No service contains or uses code of this crate.

pub mod cargo;
pub mod cli;

pub mod client;
pub mod cluster;
pub mod demo_presence;
pub mod screen;
pub mod signal;
pub mod source;

pub mod audit;
pub mod chaos;
pub mod compose;
pub mod contract;
pub mod cpu;
pub mod dead_letters;
pub mod demo;
pub mod fuzz;
pub mod load;
pub mod manifests;
pub mod payments;
pub mod stack;
pub mod stress;
pub mod verify;
