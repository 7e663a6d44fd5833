//! The failure limit: the consumer halts when too many messages become dead letters.
//!
//! One unreadable message is the message's fault; a thousand of them in a row are more likely ours:
//! a bad deploy must not pour a topic into the dead letters. So the consumer halts before the
//! message that would exceed the limit. Nothing is lost or skipped: the offset of that message was
//! never stored, and a restart tries again from there.
//!
//! Dead letters and messages that have their effect are counted. Repeats are not counted.

use std::{collections::VecDeque, fmt};

use super::batch::EntryDisposition;

/// The limits of dead letters among the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// The most dead letters in a row; none is without limit.
    pub in_a_row_max: Option<u32>,
    /// Dead letters among the last [`WINDOW`] messages, in percent; 100 is without limit.
    pub share_max: u8,
}

/// The number of messages of which the share is taken.
pub const WINDOW: usize = 4_000;

impl Default for FailureLimits {
    fn default() -> Self {
        Self { in_a_row_max: Some(1_000), share_max: 50 }
    }
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureLimit {
    /// This many in a row.
    InARow(u32),
    /// This many percent of the last messages.
    Share(u8),
}

impl fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(most) => write!(f, "more than {most} dead letters in a row"),
            Self::Share(share) => {
                write!(f, "dead letters are more than {share} % of the last {WINDOW} messages")
            }
        }
    }
}

/// Counts dead letters among the messages that were processed.
#[derive(Clone, Debug)]
pub(super) struct FailureCounter {
    limits: FailureLimits,
    in_a_row: u32,
    /// For each of the last messages: whether it became a dead letter.
    window: VecDeque<bool>,
    dead_in_window: usize,
}

impl FailureCounter {
    pub(super) fn new(limits: FailureLimits) -> Self {
        Self { limits, in_a_row: 0, window: VecDeque::with_capacity(WINDOW), dead_in_window: 0 }
    }

    pub(super) fn without_limits() -> Self {
        Self::new(FailureLimits { in_a_row_max: None, share_max: 100 })
    }

    /// The first of these messages that would exceed a limit, and that limit.
    pub(super) fn judge<'d>(
        &self,
        dispositions: impl Iterator<Item = &'d EntryDisposition> + Clone,
    ) -> Option<(usize, FailureLimit)> {
        if !dispositions.clone().any(is_dead) {
            return None;
        }
        let mut after = self.clone();
        dispositions.enumerate().find_map(|(place, disposition)| {
            after.count(disposition);
            is_dead(disposition).then(|| after.exceeded()).flatten().map(|limit| (place, limit))
        })
    }

    /// Counts the dispositions of a batch that was committed.
    pub(super) fn note<'d>(&mut self, dispositions: impl Iterator<Item = &'d EntryDisposition>) {
        dispositions.for_each(|disposition| self.count(disposition));
    }

    fn count(&mut self, disposition: &EntryDisposition) {
        if *disposition == EntryDisposition::Repeat {
            return;
        }
        let died = is_dead(disposition);
        self.in_a_row = if died { self.in_a_row.saturating_add(1) } else { 0 };
        if self.window.len() == WINDOW {
            self.dead_in_window -= usize::from(self.window.pop_front() == Some(true));
        }
        self.window.push_back(died);
        self.dead_in_window += usize::from(died);
    }

    fn exceeded(&self) -> Option<FailureLimit> {
        if let Some(most) = self.limits.in_a_row_max.filter(|most| self.in_a_row > *most) {
            return Some(FailureLimit::InARow(most));
        }
        let share = self.limits.share_max;
        // Of the whole window, however few were read: dead letters at the start are no alarm.
        let most = WINDOW * usize::from(share) / 100;
        (self.dead_in_window > most).then_some(FailureLimit::Share(share))
    }
}

fn is_dead(disposition: &EntryDisposition) -> bool {
    matches!(disposition, EntryDisposition::Dead(..))
}

#[cfg(test)]
mod tests {
    use super::{
        EntryDisposition::{New, Repeat},
        *,
    };
    use crate::dead_letter::FailureReason;

    const DEAD: EntryDisposition = EntryDisposition::Dead(FailureReason::Body, String::new());

    fn counter(in_a_row_max: Option<u32>, share_max: u8) -> FailureCounter {
        FailureCounter::new(FailureLimits { in_a_row_max, share_max })
    }

    #[test]
    fn the_one_too_many_in_a_row_is_named() {
        let mut counter = counter(Some(2), 100);
        assert_eq!(counter.judge([DEAD, DEAD, New, DEAD, DEAD].iter()), None);
        let judged = counter.judge([New, DEAD, DEAD, DEAD].iter());
        assert_eq!(judged, Some((3, FailureLimit::InARow(2))));
        counter.note([DEAD, Repeat, DEAD, Repeat].iter());
        assert_eq!(counter.judge([Repeat, DEAD].iter()), Some((1, FailureLimit::InARow(2))));
        assert_eq!(counter.judge([Repeat, New, DEAD].iter()), None);
    }

    #[test]
    fn a_share_of_the_window_is_enough_and_is_forgotten_with_it() {
        let mut counter = counter(None, 10);
        let most = WINDOW / 10;
        for _ in 0..most {
            counter.note([DEAD, New].iter());
        }
        assert_eq!(counter.judge([New, DEAD].iter()), Some((1, FailureLimit::Share(10))));
        counter.note(vec![New; WINDOW - 2 * most].iter());
        assert_eq!(counter.judge([New, DEAD].iter()), None, "the first one is out of sight");
    }

    #[test]
    fn without_limits_nothing_is_too_much() {
        let dead = vec![DEAD; 3 * WINDOW];
        assert_eq!(FailureCounter::without_limits().judge(dead.iter()), None);
    }
}
