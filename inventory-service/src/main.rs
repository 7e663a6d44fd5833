//! Owns products, stock and reservations.
fn main() {}
