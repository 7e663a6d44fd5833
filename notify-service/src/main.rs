//! Owns what customers were told.
fn main() {}
