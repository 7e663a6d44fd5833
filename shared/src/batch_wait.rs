//! The wait for company: how long a batch that has begun waits for more before it is processed.
//!
//! A batch costs about the same whether it holds one item or twenty: the same statements, the same
//! requests to the broker. Under load a short wait makes batches larger and each item cheaper. With
//! little load nobody would come, and the wait would only be latency.
//!
//! ```text
//! items a second    0 ───── RATE_ALONE ──────── RATE_CROWDED ─────
//! wait              0 ───────── 0 ───────────────── limit ────────
//! ```
//!
//! Consumer, relay, batcher and job worker have one each, by the same rule.
//!
//! **Architecture invariant:** the wait follows from the rate at which items came within the last
//! fraction of a second, never from the clock of a queue. It is never longer than its limit, and
//! none below [`RATE_ALONE`]. A batch that is full does not wait.

use std::time::{Duration, Instant};

/// Items a second up to which a batch does not wait. An order is up to five messages for one
/// service, so this is reached at sixty orders a second and above.
pub const RATE_ALONE: f64 = 300.0;

/// Items a second from which a batch waits for the whole limit.
pub const RATE_CROWDED: f64 = 600.0;

/// The rate is that of about this long a time.
const MEMORY: Duration = Duration::from_millis(100);

/// The wait of one queue.
#[derive(Clone, Debug)]
pub struct BatchWait {
    limit: Duration,
    /// Items a second, lately.
    rate: f64,
    noted_at: Instant,
}

impl BatchWait {
    /// A wait of at most `limit`; none until items come.
    pub fn up_to(limit: Duration, now: Instant) -> Self {
        Self { limit, rate: 0.0, noted_at: now }
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
        let share = (rate - RATE_ALONE) / (RATE_CROWDED - RATE_ALONE);
        self.limit.mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(5);

    /// The wait after two seconds in which batches of `items` came every `every`.
    fn wait(items: usize, every: Duration) -> Duration {
        let mut now = Instant::now();
        let mut waits = BatchWait::up_to(LIMIT, now);
        for _ in 0..2_000 / every.as_millis() {
            now += every;
            waits.note(items, now);
        }
        waits.wait(now)
    }

    #[test]
    fn nobody_waits_at_forty_orders_a_second() {
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
        let some = wait(9, Duration::from_millis(20));
        assert!(Duration::ZERO < some && some < LIMIT, "{some:?}");
    }

    #[test]
    fn the_first_batch_after_a_rest_does_not_wait() {
        let mut now = Instant::now();
        let mut waits = BatchWait::up_to(LIMIT, now);
        now += Duration::from_millis(1);
        waits.note(100, now);
        assert_eq!(waits.wait(now), LIMIT);
        now += Duration::from_secs(1);
        assert_eq!(waits.wait(now), Duration::ZERO);
        waits.note(1, now);
        assert_eq!(waits.wait(now), Duration::ZERO);
    }
}
