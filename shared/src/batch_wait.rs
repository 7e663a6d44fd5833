//! The wait for company: how long a batch that has begun waits for more before it is processed.
//!
//! A batch costs about the same whether it holds one item or twenty: the same statements, the same
//! requests to the broker. Under load a short wait makes batches larger and each item cheaper. With
//! little load nobody would come, and the wait would only be latency.
//!
//! ```text
//! items a second    0 ───── lonely rate ───── twice the lonely rate ─────
//! wait              0 ───────── 0 ───────────────── limit ────────────────
//! ```
//!
//! Consumer, relay, batcher and job worker have one each, by the same rule.
//!
//! **Architecture invariant:** the wait follows from the rate at which items came within the last
//! fraction of a second. It is never longer than its limit, and none up to the lonely rate, nor
//! after a rest. A batch that is full does not wait.

use std::time::{Duration, Instant};

/// The rate is that of about this long a time.
const MEMORY: Duration = Duration::from_millis(100);

/// When a queue waits, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaitLimits {
    /// Items a second up to which a batch does not wait.
    pub lonely_rate: f64,
    /// The longest wait, from twice the lonely rate on.
    pub longest: Duration,
}

/// The wait of one queue.
#[derive(Clone, Debug)]
pub struct BatchWait {
    limits: WaitLimits,
    /// Items a second, lately.
    rate: f64,
    noted_at: Instant,
}

impl BatchWait {
    /// A wait within these limits; none until items come.
    pub fn within(limits: WaitLimits) -> Self {
        Self { limits, rate: 0.0, noted_at: Instant::now() }
    }

    /// Notes that a batch of this many items was gathered.
    pub fn note(&mut self, items: usize, now: Instant) {
        let since = now.saturating_duration_since(self.noted_at).as_secs_f64().max(1e-6);
        let items = f64::from(u32::try_from(items).unwrap_or(u32::MAX));
        let kept = (-since / MEMORY.as_secs_f64()).exp();
        self.rate = self.rate * kept + items / since * (1.0 - kept);
        self.noted_at = now;
    }

    /// How long a batch that begins now waits for more.
    pub fn wait(&self, now: Instant) -> Duration {
        // What was noted fades: after a pause nobody is expected.
        let since = now.saturating_duration_since(self.noted_at).as_secs_f64();
        let rate = self.rate * (-since / MEMORY.as_secs_f64()).exp();
        let share = rate / self.limits.lonely_rate - 1.0;
        self.limits.longest.mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(5);
    const LIMITS: WaitLimits = WaitLimits { lonely_rate: 250.0, longest: LIMIT };

    /// The wait after two seconds in which batches of `items` came every `every`.
    fn wait(items: usize, every: Duration) -> Duration {
        let mut now = Instant::now();
        let mut waits = BatchWait::within(LIMITS);
        for _ in 0..2_000 / every.as_millis() {
            now += every;
            waits.note(items, now);
        }
        waits.wait(now)
    }

    #[test]
    fn no_batch_waits_up_to_the_lonely_rate() {
        assert_eq!(wait(1, Duration::from_millis(5)), Duration::ZERO);
        assert_eq!(wait(5, Duration::from_millis(25)), Duration::ZERO);
    }

    #[test]
    fn a_batch_waits_for_the_limit_when_many_come_and_for_no_longer() {
        assert_eq!(wait(10, Duration::from_millis(10)), LIMIT);
        assert_eq!(wait(1_000, Duration::from_millis(10)), LIMIT);
    }

    #[test]
    fn the_wait_grows_with_the_rate() {
        let some = wait(7, Duration::from_millis(20));
        assert!(Duration::ZERO < some && some < LIMIT, "{some:?}");
    }

    #[test]
    fn the_first_batch_after_a_rest_does_not_wait() {
        let mut now = Instant::now();
        let mut waits = BatchWait::within(LIMITS);
        now += Duration::from_millis(1);
        waits.note(100, now);
        assert_eq!(waits.wait(now), LIMIT);
        now += Duration::from_secs(1);
        assert_eq!(waits.wait(now), Duration::ZERO);
        waits.note(1, now);
        assert_eq!(waits.wait(now), Duration::ZERO);
    }
}
