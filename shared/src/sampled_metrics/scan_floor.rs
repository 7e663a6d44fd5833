//! The start of a scan for open rows, for what is sampled again and again.
//!
//! ```text
//! scan from the floor ──> the first open row, but nothing of the last minute ──> the next scan begins there
//! ```
//!
//! Rows become open in the order of an ever rising value, such as the time of their transaction.
//! One that commits late appears below what was seen already, so a floor stays [`OVERLAP`] behind.
//! What appears below it all the same, as after a clock was set back, is found by the next scan of
//! everything, once in [`WHOLE_AGAIN`].
//!
//! A row that stays open for long holds the floor where it is: the next scans read the dead entries
//! after it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// No transaction lasts longer between the moment that it writes down and its commit.
pub const OVERLAP: Duration = Duration::from_mins(1);

/// The pause between two scans of everything.
const WHOLE_AGAIN: Duration = Duration::from_mins(30);

/// The value from which on there are open rows.
#[derive(Debug)]
pub struct ScanFloor<K>(Mutex<FloorState<K>>);

#[derive(Debug)]
struct FloorState<K> {
    from: Option<K>,
    whole_at: Instant,
}

impl<K> Default for ScanFloor<K> {
    /// Everything is scanned.
    fn default() -> Self {
        Self(Mutex::new(FloorState { from: None, whole_at: Instant::now() }))
    }
}

impl<K: Clone> ScanFloor<K> {
    /// Where the next scan begins; none if it is one of everything.
    pub fn get(&self) -> Option<K> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<K> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now - state.whole_at >= WHOLE_AGAIN {
            (state.from, state.whole_at) = (None, now);
        }
        state.from.clone()
    }

    /// Remembers that a scan found no open row below this one, and that none appears there any more.
    pub fn raise(&self, from: K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).from = Some(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_that_was_raised_is_none_again_after_half_an_hour() {
        let (floor, begin) = (ScanFloor::default(), Instant::now());
        assert_eq!(floor.get(), None);
        floor.raise(7);
        assert_eq!(floor.get(), Some(7));
        assert_eq!(floor.at(begin + WHOLE_AGAIN * 2), None, "everything is scanned once");
        floor.raise(8);
        assert_eq!(floor.at(begin + WHOLE_AGAIN * 5 / 2), Some(8));
    }
}
