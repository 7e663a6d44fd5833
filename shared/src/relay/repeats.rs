//! An error that repeats is logged with a growing pause, and how often it was not is said with it.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

const PAUSES: Backoff =
    Backoff { first: Duration::from_secs(1), factor: 2.0, cap: Duration::from_mins(5) };

/// The failures since the last success.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    told: u32,
    quiet_until: Option<Instant>,
    untold: u32,
}

impl Repeats {
    /// One more failure: whether it is to be logged, and then how many before it were not.
    pub(super) fn note(&mut self, now: Instant) -> Option<u32> {
        if self.quiet_until.is_some_and(|it| now < it) {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.quiet_until = Some(now + PAUSES.ceiling(self.told));
        self.told = self.told.saturating_add(1);
        Some(std::mem::take(&mut self.untold))
    }

    /// A success: the next failure is news.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_with_growing_pauses_and_none_is_forgotten() {
        let begin = Instant::now();
        let mut repeats = Repeats::default();
        let told: Vec<(u64, u32)> = (0..1_200)
            .filter_map(|at| Some((at, repeats.note(begin + Duration::from_secs(at))?)))
            .collect();
        let at: Vec<u64> = told.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1_111]);
        assert_eq!(told.iter().map(|(_, untold)| u64::from(*untold)).sum::<u64>(), 1_111 - 11);
        repeats.forget();
        assert_eq!(repeats.note(begin), Some(0));
    }
}
