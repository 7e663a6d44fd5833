//! When a consumer stops: too many messages die.
//!
//! A message that cannot be read is the message's fault; a thousand of them in a row are more likely
//! ours: a bad deploy must not pour a topic into the dead letters. So the consumer stands still
//! before the message that would be one too many. It has lost and skipped nothing: the offset
//! where it stands was never stored, and a restart tries again from there.
//!
//! Counted are messages that die and messages that have their effect. Repeats say nothing about
//! either, nor does what is parked behind a letter.

use std::{collections::VecDeque, fmt};

/// How many may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Dead letters in a row, at most; none is without limit.
    pub in_a_row_max: Option<u32>,
    /// Dead letters among the last [`WINDOW`] messages, in hundredths; 100 is without limit.
    pub share_max: u8,
}

/// So many messages are looked back upon.
pub const WINDOW: usize = 4_000;

impl Default for Limits {
    fn default() -> Self {
        Self { in_a_row_max: Some(1_000), share_max: 50 }
    }
}

/// What became of one message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It had its effect.
    Fresh,
    /// It died.
    Dead,
    /// It is known already, or waits behind a letter.
    Neither,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many in a row.
    InARow(u32),
    /// So many hundredths of the last messages.
    Share(u8),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(most) => write!(f, "more than {most} dead letters in a row"),
            Self::Share(share) => {
                write!(f, "dead letters are more than {share} % of the last {WINDOW} messages")
            }
        }
    }
}

/// Counts, and says when it is enough.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    limits: Limits,
    in_a_row: u32,
    /// Whether each of the last messages died.
    window: VecDeque<bool>,
    dead_in_window: usize,
}

impl Guard {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, in_a_row: 0, window: VecDeque::with_capacity(WINDOW), dead_in_window: 0 }
    }

    /// One to whom nothing is too much.
    pub(super) fn without_limits() -> Self {
        Self::new(Limits { in_a_row_max: None, share_max: 100 })
    }

    /// The first of these that would be one too many, and of what.
    pub(super) fn judge(&self, fates: &[Fate]) -> Option<(usize, Limit)> {
        if !fates.contains(&Fate::Dead) {
            return None;
        }
        let mut after = self.clone();
        fates.iter().enumerate().find_map(|(index, fate)| {
            after.count(*fate);
            if *fate == Fate::Dead { Some((index, after.exceeded()?)) } else { None }
        })
    }

    /// These have happened.
    pub(super) fn note(&mut self, fates: &[Fate]) {
        for fate in fates {
            self.count(*fate);
        }
    }

    fn count(&mut self, fate: Fate) {
        let died = match fate {
            Fate::Neither => return,
            Fate::Fresh => false,
            Fate::Dead => true,
        };
        self.in_a_row = if died { self.in_a_row.saturating_add(1) } else { 0 };
        if self.window.len() == WINDOW {
            self.dead_in_window -= usize::from(self.window.pop_front() == Some(true));
        }
        self.window.push_back(died);
        self.dead_in_window += usize::from(died);
    }

    fn exceeded(&self) -> Option<Limit> {
        if let Some(most) = self.limits.in_a_row_max.filter(|most| self.in_a_row > *most) {
            return Some(Limit::InARow(most));
        }
        let share = self.limits.share_max;
        // Of the whole window, however few have been read: a start among letters is no alarm.
        let most = WINDOW * usize::from(share) / 100;
        (self.dead_in_window > most).then_some(Limit::Share(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(in_a_row_max: Option<u32>, share_max: u8) -> Guard {
        Guard::new(Limits { in_a_row_max, share_max })
    }

    #[test]
    fn the_one_too_many_in_a_row_is_named() {
        use Fate::{Dead, Fresh, Neither};
        let mut guard = guard(Some(2), 100);
        assert_eq!(guard.judge(&[Dead, Dead, Fresh, Dead, Dead]), None);
        assert_eq!(guard.judge(&[Fresh, Dead, Dead, Dead]), Some((3, Limit::InARow(2))));
        guard.note(&[Dead, Neither, Dead, Neither]);
        assert_eq!(guard.judge(&[Neither, Dead]), Some((1, Limit::InARow(2))));
        assert_eq!(guard.judge(&[Neither, Fresh, Dead]), None);
    }

    #[test]
    fn a_share_of_the_window_is_enough_and_is_forgotten_with_it() {
        let mut guard = guard(None, 10);
        let most = WINDOW / 10;
        for _ in 0..most {
            guard.note(&[Fate::Dead, Fate::Fresh]);
        }
        assert_eq!(guard.judge(&[Fate::Fresh, Fate::Dead]), Some((1, Limit::Share(10))));
        guard.note(&vec![Fate::Fresh; WINDOW - 2 * most]);
        assert_eq!(guard.judge(&[Fate::Fresh, Fate::Dead]), None, "the first one is out of sight");
    }

    #[test]
    fn without_limits_nothing_is_too_much() {
        assert_eq!(guard(None, 100).judge(&vec![Fate::Dead; 3 * WINDOW]), None);
    }
}
