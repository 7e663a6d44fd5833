//! The external effects of this service: one kind of job per file.

pub mod email;
pub mod mail;
