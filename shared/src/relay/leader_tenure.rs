//! How long a relay leads without publishing anything, and when it tries to lead again.
//!
//! ```text
//!            nothing published for `limit` while messages wait
//!   leads ───────────────────────────────────────────────────> rests ──pause is over──> stands by
//!     ^                                                          │
//!     └────────nobody else has led for a while: better than none─┘
//! ```
//!
//! A relay that cannot publish gives its leadership up for another instance. If none takes it, the
//! relay tries again soon: a broker that is unavailable for all instances is no reason to wait
//! longer. After each leadership without success, the next pause is longer, up to [`PAUSE_MAX`],
//! and so is the time limit for publishing, up to three times `limit`, for a slow broker.

use std::time::{Duration, Instant};

/// The longest pause between two leaderships.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// The record of this relay's leaderships.
#[derive(Debug)]
pub(super) struct LeaderTenure {
    limit: Duration,
    /// Leaderships in a row that ended because nothing was published.
    failures: u32,
    /// When something was published last, or nothing was waiting.
    moved_at: Instant,
    rest: Option<TenurePause>,
}

#[derive(Debug)]
struct TenurePause {
    until: Instant,
    /// Since when no relay leads, as far as was checked.
    free_since: Option<Instant>,
    reason: String,
}

impl LeaderTenure {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, failures: 0, moved_at: now, rest: None }
    }

    /// The relay leads from now on.
    pub(super) fn begins(&mut self, now: Instant) {
        self.moved_at = now;
        self.rest = None;
    }

    /// Notes that this leader has published something.
    pub(super) fn published(&mut self, now: Instant) {
        self.moved_at = now;
        self.failures = 0;
    }

    /// No message waits that the leader could publish.
    pub(super) fn idles(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// The longest time without publishing.
    fn limit(&self) -> Duration {
        self.limit * (self.failures + 1).min(3)
    }

    /// The longest time of one batch without any confirmation: it leaves time for a second attempt.
    pub(super) fn patience(&self) -> Duration {
        self.limit() / 2
    }

    /// Whether the relay must give its leadership up.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.moved_at) >= self.limit()
    }

    /// The relay gives its leadership up; answers why, for health and log.
    pub(super) fn gives_up(&mut self, now: Instant, trouble: &str) -> String {
        let reason = format!(
            "has given up leading the relay: published nothing for {:?}: {trouble}",
            self.limit()
        );
        self.failures = self.failures.saturating_add(1);
        let pause = (self.limit * 3).saturating_mul(1 << (self.failures - 1).min(16));
        let until = now + pause.min(PAUSE_MAX);
        self.rest = Some(TenurePause { until, free_since: None, reason: reason.clone() });
        reason
    }

    /// Why the relay does not try to lead at the moment, if it does not.
    pub(super) fn resting(&mut self, now: Instant) -> Option<&str> {
        self.rest.take_if(|tenure_pause| tenure_pause.until <= now);
        self.rest.as_ref().map(|tenure_pause| tenure_pause.reason.as_str())
    }

    /// Whether a resting relay tries all the same: no other relay has led for a while.
    pub(super) fn is_needed(&mut self, now: Instant, led: bool) -> bool {
        let others_may_take = self.limit / 5;
        let Some(rest) = &mut self.rest else { return true };
        if led {
            rest.free_since = None;
            return false;
        }
        let free_since = *rest.free_since.get_or_insert(now);
        now.duration_since(free_since) >= others_may_take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_leader_makes_room_after_its_limit_without_a_confirmation() {
        let begin = Instant::now();
        let mut tenure = LeaderTenure::new(LIMIT, begin);
        tenure.begins(begin);
        assert_eq!(tenure.patience(), seconds(5));
        assert!(!tenure.is_over(begin + seconds(9)));
        assert!(tenure.is_over(begin + LIMIT));
        tenure.published(begin + seconds(9));
        assert!(!tenure.is_over(begin + LIMIT));
        tenure.idles(begin + seconds(18));
        assert!(!tenure.is_over(begin + seconds(27)));
        assert!(tenure.is_over(begin + seconds(28)));
    }

    #[test]
    fn who_gave_up_does_not_stand_while_another_leads_and_its_pause_lasts() {
        let begin = Instant::now();
        let mut tenure = LeaderTenure::new(LIMIT, begin);
        let reason = tenure.gives_up(begin, "SSL handshake failed");
        assert_eq!(
            reason,
            "has given up leading the relay: published nothing for 10s: SSL handshake failed"
        );
        for at in 0..30 {
            let now = begin + seconds(at);
            assert_eq!(tenure.resting(now), Some(reason.as_str()), "{at}");
            assert!(!tenure.is_needed(now, true), "{at}");
        }
        assert_eq!(tenure.resting(begin + seconds(30)), None);
    }

    #[test]
    fn who_gave_up_stands_again_once_nobody_else_has_led_for_a_while() {
        let begin = Instant::now();
        let mut tenure = LeaderTenure::new(LIMIT, begin);
        tenure.gives_up(begin, "");
        assert!(!tenure.is_needed(begin, false));
        assert!(!tenure.is_needed(begin + seconds(1), true));
        assert!(!tenure.is_needed(begin + seconds(2), false));
        assert!(!tenure.is_needed(begin + seconds(3), false));
        assert!(tenure.is_needed(begin + seconds(4), false));
    }

    #[test]
    fn pauses_and_patience_grow_to_a_limit_and_are_forgotten_after_success() {
        let mut now = Instant::now();
        let mut tenure = LeaderTenure::new(LIMIT, now);
        let mut pauses = vec![];
        for _ in 0..6 {
            tenure.begins(now);
            tenure.gives_up(now, "");
            let until = tenure.rest.as_ref().unwrap().until;
            pauses.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
        assert_eq!(tenure.patience(), seconds(15));
        tenure.published(now);
        assert_eq!(tenure.patience(), seconds(5));
    }
}
