//! Owns orders: the public REST API, the order's saga, its deadline.
fn main() {}
