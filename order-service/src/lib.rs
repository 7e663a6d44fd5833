//! Owns orders: the public REST API, the order's saga, its deadline.
//!
//! Modules stand in reading order.

pub mod domain;
