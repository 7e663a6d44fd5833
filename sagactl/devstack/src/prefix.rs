//! Names for what is made on servers that others use at the same time.

/// The beginning of names that nobody else uses, as `t7f3a09c2-`.
pub fn unique_prefix() -> String {
    format!("t{:08x}-", fastrand::u32(..))
}
