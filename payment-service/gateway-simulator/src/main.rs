//! A payment gateway with faults, as a process of its own: the independent witness of every charge.
fn main() {}
