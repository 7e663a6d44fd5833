//! The lease of a worker on the jobs it performs: short, and renewed.

use std::time::Duration;

/// A lease outlives its attempt by this long: the time to settle the outcome.
const MARGIN: Duration = Duration::from_secs(10);

/// The length of a lease without a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// The longest lease: after a crash no other worker claims the job for this long.
    pub longest: Duration,
    /// Leases are renewed this often, while attempts are running.
    pub renewed: Duration,
}

impl Default for LeaseTimes {
    /// Three renewals may fail in a row before a lease runs out.
    fn default() -> Self {
        Self { longest: Duration::from_secs(90), renewed: Duration::from_secs(20) }
    }
}

impl LeaseTimes {
    /// The lease for an attempt that may take this long.
    pub(super) fn lease(&self, attempt_limit: Duration) -> Duration {
        (attempt_limit + MARGIN).min(self.longest)
    }
}
