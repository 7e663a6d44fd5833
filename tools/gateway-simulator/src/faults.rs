//! Faults that can be switched on while the gateway runs, and the random outcome of each call.
//!
//! Every call draws the same number of random numbers, whatever the rates are, so that one seed
//! gives one sequence of outcomes. Faults are not stored: a restarted gateway has none.

#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::api::refusal::RequestRefusal;

/// The longest delay; a bound on how long a call without a client can hold its key.
const DELAY_MAX_MS: u64 = 600_000;
const SLOW_DEFAULT_MS: u64 = 1_500;

/// The faults and their rates. By default there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FaultSettings {
    refuse_rate: f64,
    error_after_rate: f64,
    /// The connection is closed, nothing executed.
    drop_before_rate: f64,
    /// Executed, then the connection is closed.
    drop_after_rate: f64,
    /// How long every call waits before it is executed.
    delay_ms: DelayMs,
    /// How long a slow card waits on top of that.
    slow_ms: u64,
    /// Every connection is closed.
    pub(crate) down: bool,
    seed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayMs {
    min: u64,
    max: u64,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnding {
    Answer,
    /// With 500 in place of its answer.
    Error,
    /// With a closed connection.
    Drop,
}

/// Whether a call begins at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallStart {
    Pass,
    /// The call is answered 503.
    Refuse,
    /// The connection is closed.
    Drop,
}

/// The faults of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFate {
    pub(crate) start: CallStart,
    pub(crate) delay: Duration,
    pub(crate) slow: Duration,
    pub(crate) ending: CallEnding,
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self {
            refuse_rate: 0.0,
            error_after_rate: 0.0,
            drop_before_rate: 0.0,
            drop_after_rate: 0.0,
            delay_ms: DelayMs::default(),
            slow_ms: SLOW_DEFAULT_MS,
            down: false,
            seed: 0,
        }
    }
}

impl FaultSettings {
    fn check(&self) -> Result<(), RequestRefusal> {
        let rates =
            [self.refuse_rate, self.error_after_rate, self.drop_before_rate, self.drop_after_rate];
        if !rates.iter().all(|rate| (0.0..=1.0).contains(rate)) {
            return Err(RequestRefusal::Invalid("a rate must be from 0 to 1".to_owned()));
        }
        let DelayMs { min, max } = self.delay_ms;
        if min > max || max > DELAY_MAX_MS || self.slow_ms > DELAY_MAX_MS {
            let message = format!("a delay must be at most {DELAY_MAX_MS} ms, and min at most max");
            return Err(RequestRefusal::Invalid(message));
        }
        Ok(())
    }

    /// Of two faults that both strike, the one that loses more wins.
    fn draw(&self, random: &mut Rng) -> CallFate {
        let mut strikes = |rate: f64| random.f64() < rate;
        let (drop_before, refuse) = (strikes(self.drop_before_rate), strikes(self.refuse_rate));
        let (drop_after, error_after) =
            (strikes(self.drop_after_rate), strikes(self.error_after_rate));
        let delay_ms = random.u64(self.delay_ms.min..=self.delay_ms.max);
        CallFate {
            start: match (self.down || drop_before, refuse) {
                (true, _) => CallStart::Drop,
                (false, true) => CallStart::Refuse,
                (false, false) => CallStart::Pass,
            },
            delay: Duration::from_millis(delay_ms),
            slow: Duration::from_millis(self.slow_ms),
            ending: match (drop_after, error_after) {
                (true, _) => CallEnding::Drop,
                (false, true) => CallEnding::Error,
                (false, false) => CallEnding::Answer,
            },
        }
    }
}

/// The faults that are switched on, and their dice.
#[derive(Debug)]
pub(crate) struct FaultSwitches {
    state: Mutex<(FaultSettings, Rng)>,
}

impl FaultSwitches {
    pub(crate) fn new() -> Self {
        let faults = FaultSettings::default();
        let random = Rng::with_seed(faults.seed);
        Self { state: Mutex::new((faults, random)) }
    }

    /// The active faults.
    pub(crate) fn faults(&self) -> FaultSettings {
        self.lock().0.clone()
    }

    /// Switches to `faults` and begins their row of fates anew.
    pub(crate) fn switch(&self, faults: FaultSettings) -> Result<(), RequestRefusal> {
        faults.check()?;
        let random = Rng::with_seed(faults.seed);
        *self.lock() = (faults, random);
        Ok(())
    }

    /// The fate of the next call.
    pub(crate) fn draw(&self) -> CallFate {
        let (faults, random) = &mut *self.lock();
        faults.draw(random)
    }

    fn lock(&self) -> MutexGuard<'_, (FaultSettings, Rng)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
