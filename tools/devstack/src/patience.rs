//! Waits with a limit for tests: a test fails by a panic.

use std::{fmt::Debug, thread, time::Duration};

use crate::limit::{InVain, WaitLimit};

/// The pause before the next look: short beside what is waited for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(20);
/// A wait fails after looks worth this much time that all showed the same.
const STILL_MAX: Duration = Duration::from_mins(2);

/// A test's wait. Ask it for the next look after one that did not show what is awaited.
#[derive(Clone, Debug)]
pub struct TestWait(WaitLimit);

impl TestWait {
    /// A wait for what these words say.
    pub fn until(awaited: &str) -> Self {
        Self(WaitLimit::new(awaited, STILL_MAX, PAUSE))
    }

    /// Pauses before the next look. `seen` is what the last one showed: a change of it is progress.
    ///
    /// # Panics
    /// If looks worth two minutes showed the same.
    pub async fn look_again(&mut self, seen: impl Debug) {
        fail_in_vain(self.0.look_again(seen).await);
    }

    /// The same on a thread that may wait.
    ///
    /// # Panics
    /// If looks worth two minutes showed the same.
    pub fn look_again_blocking(&mut self, seen: impl Debug) {
        self.looked(seen);
        thread::sleep(PAUSE);
    }

    /// For looks that wait themselves: only counts.
    ///
    /// # Panics
    /// If looks worth two minutes showed the same.
    pub fn looked(&mut self, seen: impl Debug) {
        fail_in_vain(self.0.looked(seen));
    }
}

fn fail_in_vain(looked: Result<(), InVain>) {
    if let Err(error) = looked {
        panic!("{error}");
    }
}

/// Counts until none is left. Each change of the number is progress.
///
/// # Panics
/// If looks worth two minutes counted the same.
pub async fn none_left(awaited: &str, mut count: impl AsyncFnMut() -> usize) {
    let mut patience = TestWait::until(awaited);
    loop {
        let left = count().await;
        if left == 0 {
            return;
        }
        patience.look_again(left).await;
    }
}

/// Looks until a condition holds.
///
/// # Panics
/// If looks worth two minutes were in vain.
pub async fn until(awaited: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut patience = TestWait::until(awaited);
    while !holds().await {
        patience.look_again("not yet").await;
    }
}
