//! Owns products, stock and reservations.
