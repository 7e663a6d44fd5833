//! What one step of a worker did: only counts, for those who drive it step by step.

/// The result of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStep {
    /// Jobs that were claimed.
    pub claimed: usize,
    /// Jobs that were handed over, born claimed.
    pub handed: usize,
    /// Jobs that were done.
    pub done: usize,
    /// Jobs that became dead.
    pub gave_up: usize,
    /// Jobs that will be tried again.
    pub again: usize,
    /// Outcomes that came after their lease had ended, and do not count.
    pub lost: usize,
}
