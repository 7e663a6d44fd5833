//! Many attempts fail for the same reason. One failure is logged now and then, with the number of
//! those that were not: the log of an outage is as long as the outage, and not as the list of
//! failed attempts. Each failure is counted in any case, and each job's row keeps the last one.

use std::time::{Duration, Instant};

/// After a logged failure, others are not logged for this long.
const SILENCE: Duration = Duration::from_secs(10);

/// The failures of one worker.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    told_at: Option<Instant>,
    untold: u32,
}

impl FailureLog {
    /// Records a failure: whether to log it, and then how many before it were not logged.
    pub(super) fn note(&mut self, now: Instant) -> Option<u32> {
        if self.told_at.is_some_and(|instant| now.duration_since(instant) < SILENCE) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
