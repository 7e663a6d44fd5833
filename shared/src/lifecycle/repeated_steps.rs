//! Work that is repeated, with pauses, until the process stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backoff::BackoffSchedule;

/// Steps that follow each other until the process stops. Each step returns the pause before the
/// next.
#[derive(Debug)]
pub struct RepeatedSteps {
    stop: CancellationToken,
    pause: Duration,
    failures: u32,
}

impl RepeatedSteps {
    /// Steps until told to stop, the first of them at once.
    pub fn until(stop: CancellationToken) -> Self {
        Self { stop, pause: Duration::ZERO, failures: 0 }
    }

    /// Pauses, then takes a step. None once told to stop: a running step is dropped.
    pub async fn next<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        let pause = std::mem::take(&mut self.pause);
        let paused_step = async {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            step.await
        };
        self.stop.run_until_cancelled(paused_step).await
    }

    /// The next step is taken at once.
    pub fn go_on(&mut self) {
        self.pause(Duration::ZERO);
    }

    /// The next step is taken after this long.
    pub fn pause(&mut self, pause: Duration) {
        (self.pause, self.failures) = (pause, 0);
    }

    /// The next step is taken after a pause that grows with each failure in a row.
    pub fn back_off(&mut self, backoff: BackoffSchedule) {
        self.failures = self.failures.saturating_add(1);
        self.pause = backoff.delay(self.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest time for which a test machine may stand still.
    const PATIENCE: Duration = Duration::from_mins(5);

    #[tokio::test]
    async fn steps_follow_each_other_until_the_stop_which_drops_the_one_under_way() {
        let stop = CancellationToken::new();
        let mut steps = RepeatedSteps::until(stop.clone());
        assert_eq!(steps.next(async { 1 }).await, Some(1));
        steps.go_on();
        assert_eq!(steps.next(async { 2 }).await, Some(2));
        steps.pause(Duration::from_nanos(1));
        assert_eq!(steps.next(async { 3 }).await, Some(3));
        let endless = async {
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let last = tokio::time::timeout(PATIENCE, steps.next(endless)).await;
        assert_eq!(last, Ok(None));
    }

    #[tokio::test]
    async fn a_pause_between_steps_ends_with_the_stop_and_no_step_follows() {
        let stop = CancellationToken::new();
        let mut steps = RepeatedSteps::until(stop.clone());
        steps.pause(2 * PATIENCE);
        let stopping = async { stop.cancel() };
        let both = async { tokio::join!(steps.next(async { "a step" }), stopping) };
        let ended = tokio::time::timeout(PATIENCE, both).await;
        assert_eq!(ended, Ok((None, ())));
    }

    #[test]
    fn pauses_grow_with_each_failure_in_a_row() {
        let mut steps = RepeatedSteps::until(CancellationToken::new());
        let backoff = BackoffSchedule { first: PATIENCE, factor: 2.0, cap: 100 * PATIENCE };
        for failures in 1..=3 {
            steps.back_off(backoff);
            assert_eq!(steps.failures, failures);
            assert!(steps.pause <= backoff.ceiling(failures));
        }
        assert!(!steps.pause.is_zero());
        steps.go_on();
        assert_eq!((steps.failures, steps.pause), (0, Duration::ZERO));
    }
}
