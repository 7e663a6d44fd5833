//! For how long a worker holds what it performs: shortly, and again and again.

use std::time::Duration;

/// A lease outlives its attempt by this long: the time to bring the outcome home.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a worker holds a job without a word from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// No lease is longer: after a crash nobody else claims the job for so long.
    pub longest: Duration,
    /// Leases are renewed this often, while attempts go on.
    pub renewed: Duration,
}

impl Default for LeaseTimes {
    /// Three renewals may fail one after the other before a lease runs out.
    fn default() -> Self {
        Self { longest: Duration::from_secs(90), renewed: Duration::from_secs(20) }
    }
}

impl LeaseTimes {
    /// The lease for an attempt that may take so long.
    pub(super) fn lease(&self, attempt_limit: Duration) -> Duration {
        (attempt_limit + MARGIN).min(self.longest)
    }
}
