//! Owns what customers were told.
