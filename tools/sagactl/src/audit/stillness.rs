//! Limit of a wait: the wait ends after a number of looks in a row that showed the same.
//!
//! Looks are counted and not seconds, so that a machine that stalls does not end the wait.

use std::{fmt::Debug, time::Duration};

/// Counts looks that show the same.
#[derive(Clone, Debug)]
pub(super) struct StillCount {
    looks_max: u128,
    same: u128,
    seen: String,
}

impl StillCount {
    /// Lasts after as many equal looks as there are `pause`s in `still_max`.
    pub(super) fn new(still_max: Duration, pause: Duration) -> Self {
        let looks_max = (still_max.as_millis() / pause.as_millis().max(1)).max(1);
        Self { looks_max, same: 0, seen: String::new() }
    }

    /// Notes what a look showed; whether nothing has moved for long enough.
    pub(super) fn lasts(&mut self, seen: &impl Debug) -> bool {
        let seen = format!("{seen:?}");
        if seen == self.seen {
            self.same += 1;
        } else {
            (self.seen, self.same) = (seen, 1);
        }
        self.same >= self.looks_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_goes_on_while_something_moves() {
        let mut stillness = StillCount::new(Duration::from_secs(1), Duration::from_millis(100));
        let mut looks = |seen: &str| (0..20).take_while(|_| !stillness.lasts(&seen)).count();
        assert_eq!(looks("one"), 9);
        assert_eq!(looks("two"), 9);
    }
}
