//! What this service does in the outside world, one kind of job a file.

pub mod email;
pub mod mail;
