//! Where attempts fail, many fail for the same reason. One is told now and then, and how many were not:
//! the log of an outage is as long as the outage, and not as all that could not be done meanwhile.
//! Each failure is counted in any case, and the last one of each job stays with its row.

use std::time::{Duration, Instant};

/// After a failure that was told, others are not for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// The failures of one worker.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    told_at: Option<Instant>,
    untold: u32,
}

impl FailureLog {
    /// One more failure: whether it is to be told, and then how many before it were not.
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
