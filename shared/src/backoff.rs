//! How long to wait before trying again: exponential, capped, with full jitter.

use std::time::Duration;

/// A schedule of waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffSchedule {
    /// The longest first wait.
    pub first: Duration,
    /// The factor between the limit of one wait and the next.
    pub factor: f64,
    /// The upper limit of every wait.
    pub cap: Duration,
}

impl BackoffSchedule {
    /// For a consumer or relay blocked by a dependency: short, because nothing else can go on.
    pub const fn hold() -> Self {
        Self { first: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5) }
    }

    /// The longest wait after `attempt` failures, counted from 0.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.min(64)).unwrap_or(64);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        Duration::try_from_secs_f64(seconds).map_or(self.cap, |duration| duration.min(self.cap))
    }

    /// A random wait between zero and the ceiling, so that callers that failed at the same time do
    /// not retry at the same time.
    pub fn delay(&self, attempt: u32) -> Duration {
        self.ceiling(attempt).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(attempt: u32) {
            let backoff = BackoffSchedule::hold();
            prop_assert!(backoff.delay(attempt) <= backoff.cap);
        }
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_the_cap() {
        let backoff = BackoffSchedule::hold();
        let ceilings: Vec<_> = (0..8).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }
}
