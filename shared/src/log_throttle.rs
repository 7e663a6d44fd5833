//! Log throttle: a repeated event is logged with a growing pause.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_mins(5);

/// When to log a repeated event: at once, then after 1 s, 2 s, 4 s … up to 5 min.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogThrottle {
    due: Option<Instant>,
    pause: Duration,
    unsaid: u64,
}

impl LogThrottle {
    /// Notes one more event. If the event is to be logged now: how many events were not logged
    /// since the last log line.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_some_and(|due| now < due) {
            self.unsaid += 1;
            return None;
        }
        self.pause = if self.due.is_none() { FIRST } else { (self.pause * 2).min(CAP) };
        self.due = Some(now + self.pause);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_twice_a_second_is_said_after_pauses_that_double_up_to_five_minutes() {
        let (mut pace, began) = (LogThrottle::default(), Instant::now());
        let (mut said, mut happened) = (Vec::new(), 0_u64);
        for half_seconds in 0..7_200_u32 {
            happened += 1;
            if let Some(unsaid) = pace.note(began + Duration::from_millis(500) * half_seconds) {
                said.push((half_seconds / 2, unsaid));
            }
        }
        let at: Vec<u32> = said.iter().map(|(at, _)| *at).collect();
        assert_eq!(at[..10], [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);
        assert!(at[9..].windows(2).all(|items| items[1] - items[0] == 300), "{at:?}");
        let told: u64 = said.iter().map(|(_, unsaid)| unsaid + 1).sum();
        assert!(told <= happened && happened - told < 600, "{told} of {happened}");
    }
}
