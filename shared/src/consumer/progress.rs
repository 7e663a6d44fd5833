//! Whether a consumer has caught up with what is said to it, for those who act on silence.
//!
//! Who concludes something from a message that has not come must first know that it has read what
//! is there. A consumer has caught up when there was nothing to read, or when what it read last is
//! young; it is behind while it holds a batch back, and while it has no partitions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Messages that are older than this when they are read mean that the consumer is behind.
pub(super) const YOUNG_MS: i128 = 10_000;

/// A consumer that has said nothing for this long is stuck in the middle of something.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How far a consumer has read. Clones speak of the same one.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Since when it has been caught up without a break.
    since: Option<Instant>,
    /// When it said so last.
    said: Option<Instant>,
}

impl Progress {
    /// Whether it has been caught up for at least this long, up to now.
    pub fn is_calm(&self, calm: Duration) -> bool {
        self.is_calm_at(Instant::now(), calm)
    }

    /// It has read what is there.
    pub fn caught_up(&self) {
        self.caught_up_at(Instant::now());
    }

    /// It has not.
    pub fn behind(&self) {
        *self.lock() = State::default();
    }

    fn caught_up_at(&self, now: Instant) {
        let mut state = self.lock();
        state.since.get_or_insert(now);
        state.said = Some(now);
    }

    fn is_calm_at(&self, now: Instant, calm: Duration) -> bool {
        let State { since, said } = *self.lock();
        since.is_some_and(|it| now.duration_since(it) >= calm)
            && said.is_some_and(|it| now.duration_since(it) <= SILENCE_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Duration = Duration::from_secs(2);

    #[test]
    fn a_consumer_that_never_read_is_not_calm() {
        assert!(!Progress::default().is_calm(Duration::ZERO));
    }

    #[test]
    fn calm_takes_its_time_and_is_lost_at_once() {
        let (progress, start) = (Progress::default(), Instant::now());
        progress.caught_up_at(start);
        assert!(!progress.is_calm_at(start + CALM / 2, CALM));
        progress.caught_up_at(start + CALM);
        assert!(progress.is_calm_at(start + CALM, CALM));
        progress.behind();
        progress.caught_up_at(start + CALM);
        assert!(!progress.is_calm_at(start + CALM, CALM));
    }

    #[test]
    fn a_consumer_that_falls_silent_is_not_calm() {
        let (progress, start) = (Progress::default(), Instant::now());
        progress.caught_up_at(start);
        assert!(progress.is_calm_at(start + SILENCE_MAX, CALM));
        assert!(!progress.is_calm_at(start + SILENCE_MAX + Duration::from_millis(1), CALM));
    }
}
