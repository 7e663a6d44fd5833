//! Unique name prefixes for topics, groups and databases on servers that others use as well.

/// The beginning of names that nobody else uses, as `t7f3a09c2-`.
pub fn unique_prefix() -> String {
    format!("t{:08x}-", fastrand::u32(..))
}
