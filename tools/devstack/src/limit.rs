//! A limit on waiting: a wait fails when nothing has changed for a number of looks in a row.
//!
//! Looks are counted, not seconds: a machine that stands still makes no looks, and a change since
//! the last look starts the count again.

use std::{fmt::Debug, time::Duration};

use tokio::time::sleep;

/// Nothing has moved for as long as was allowed.
#[derive(Debug, thiserror::Error)]
#[error("in vain: {awaited}; {same} looks in a row showed {seen}")]
pub struct InVain {
    awaited: String,
    seen: String,
    same: u128,
}

/// A wait that may fail.
#[derive(Clone, Debug)]
pub struct WaitLimit {
    awaited: String,
    pause: Duration,
    looks_max: u128,
    seen: String,
    same: u128,
}

impl WaitLimit {
    /// A wait for what these words say. It fails once nothing has moved in as many looks as there
    /// are `pause`s in `still_max`.
    pub fn new(awaited: impl Into<String>, still_max: Duration, pause: Duration) -> Self {
        let looks_max = (still_max.as_millis() / pause.as_millis().max(1)).max(1);
        Self { awaited: awaited.into(), pause, looks_max, seen: String::new(), same: 0 }
    }

    /// Notes what a look showed that was in vain, and pauses before the next one. Where a look
    /// pauses by itself, [`Self::looked`] is enough.
    pub async fn look_again(&mut self, seen: impl Debug) -> Result<(), InVain> {
        self.looked(seen)?;
        sleep(self.pause).await;
        Ok(())
    }

    /// Notes what a look showed that was in vain.
    pub fn looked(&mut self, seen: impl Debug) -> Result<(), InVain> {
        let seen = format!("{seen:?}");
        if seen == self.seen {
            self.same += 1;
        } else {
            (self.seen, self.same) = (seen, 1);
        }
        if self.same < self.looks_max {
            return Ok(());
        }
        let (awaited, seen) = (self.awaited.clone(), self.seen.clone());
        Err(InVain { awaited, seen, same: self.same })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_up_while_it_moves() {
        let mut limit =
            WaitLimit::new("the end", Duration::from_secs(1), Duration::from_millis(100));
        let mut looks = |seen: &str| (0..20).take_while(|_| limit.looked(seen).is_ok()).count();
        assert_eq!(looks("one is open"), 9);
        assert_eq!(looks("none is open"), 9);
    }
}
