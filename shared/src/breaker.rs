//! Circuit breaker: after repeated failures one trial call probes the dependency, others fail fast.
//!
//! ```text
//!            enough of the last calls failed
//!  closed ────────────────────────────────────> open <───┐ the trial failed: twice as long, up to a cap
//!    ^                                            │ its wait is over, and somebody asks
//!    │             the trial succeeded            v       │
//!    └────────────────────────────────────────── trial ───┘
//! ```
//!
//! One call is the trial; other calls are refused until the trial has ended. The result of a call
//! that began before the last change of state is ignored.
//!
//! **Architecture invariant:** pure but for the lock around it: the time is an argument, so a test
//! sets the time. (Maintained libraries read the clock themselves and let all calls through at once
//! when their wait is over; see `docs/adr/0010`.)

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::health::HealthComponent;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The number of latest calls whose results are counted.
    pub calls: usize,
    /// The number of failures among these calls at which the breaker opens.
    pub failures: usize,
    /// How long the breaker stays open the first time.
    pub open_first: Duration,
    /// The longest time that the breaker stays open.
    pub open_cap: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            calls: 20,
            failures: 16,
            open_first: Duration::from_secs(2),
            open_cap: Duration::from_secs(30),
        }
    }
}

/// The state of the breaker, which decides which calls are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerState {
    /// Every call is allowed.
    Closed,
    /// No call is allowed before `until`; `wait` is the pause that led there.
    Open { until: Instant, wait: Duration },
    /// No call is allowed beside the one trial call.
    Trial { wait: Duration },
}

/// The call is refused because the breaker is not closed; says when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("calls are held back: too many have failed")]
pub struct HeldBack {
    /// How long to wait until the next trial.
    pub wait: Duration,
}

/// The state machine; the caller passes the time.
#[derive(Debug)]
struct BreakerMachine {
    settings: BreakerSettings,
    state: BreakerState,
    /// For each of the latest calls, whether the call failed.
    last: VecDeque<bool>,
    /// Rises with each change of state: a call's result counts only for the state it began in.
    era: u64,
}

impl BreakerMachine {
    fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed, last: VecDeque::new(), era: 0 }
    }

    /// How many calls may begin.
    fn room(&self, now: Instant) -> usize {
        match self.state {
            BreakerState::Closed => usize::MAX,
            BreakerState::Open { until, .. } if until <= now => 1,
            BreakerState::Open { .. } | BreakerState::Trial { .. } => 0,
        }
    }

    /// Lets a call begin; returns the era that the call belongs to.
    fn begin(&mut self, now: Instant) -> Result<u64, HeldBack> {
        match self.state {
            BreakerState::Closed => {}
            BreakerState::Open { until, wait } if until <= now => {
                self.turn(BreakerState::Trial { wait });
            }
            BreakerState::Open { until, .. } => return Err(HeldBack { wait: until - now }),
            BreakerState::Trial { wait } => return Err(HeldBack { wait }),
        }
        Ok(self.era)
    }

    /// Records the result of a call of that era.
    fn end(&mut self, era: u64, failed: bool, now: Instant) {
        if era != self.era {
            return;
        }
        let BreakerSettings { calls, failures, open_first, open_cap } = self.settings;
        match self.state {
            BreakerState::Closed => {
                self.last.push_back(failed);
                if self.last.len() > calls {
                    self.last.pop_front();
                }
                if self.last.iter().filter(|flag| **flag).count() >= failures {
                    self.turn(BreakerState::Open { until: now + open_first, wait: open_first });
                }
            }
            BreakerState::Trial { wait } if failed => {
                let wait = wait.saturating_mul(2).min(open_cap);
                self.turn(BreakerState::Open { until: now + wait, wait });
            }
            BreakerState::Trial { .. } => self.turn(BreakerState::Closed),
            // No call begins while the breaker is open.
            BreakerState::Open { .. } => {}
        }
    }

    fn turn(&mut self, state: BreakerState) {
        self.state = state;
        self.era += 1;
        self.last.clear();
    }
}

/// The circuit breaker for calls to one dependency. Clones share the same state.
#[derive(Clone)]
pub struct CircuitBreaker {
    to: &'static str,
    machine: Arc<Mutex<BreakerMachine>>,
    health: HealthComponent,
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("to", &self.to).finish_non_exhaustive()
    }
}

impl CircuitBreaker {
    /// A closed breaker for calls to `to`, which reports its state through `health`. The component
    /// is always ready: a service whose dependency is away can still be asked.
    pub fn new(to: &'static str, settings: BreakerSettings, health: HealthComponent) -> Self {
        metrics::describe_gauge!(
            "circuit_open",
            "Whether calls are held back because too many failed: 1, or 0."
        );
        metrics::describe_counter!(
            "circuit_opened_total",
            "Times that calls began to be held back."
        );
        metrics::gauge!("circuit_open", "to" => to).set(0);
        metrics::counter!("circuit_opened_total", "to" => to).increment(0);
        health.ready();
        Self { to, machine: Arc::new(Mutex::new(BreakerMachine::new(settings))), health }
    }

    /// How many calls may begin now: all, one trial call, or none.
    pub fn room(&self) -> usize {
        self.with(|machine| machine.room(Instant::now()))
    }

    /// Lets a call begin, or refuses it with the time to wait.
    pub fn begin(&self) -> Result<BreakerCall, HeldBack> {
        let era = self.with(|machine| machine.begin(Instant::now()))?;
        Ok(BreakerCall { breaker: self.clone(), era, failed: true })
    }

    fn end(&self, era: u64, failed: bool) {
        let (was_open, is_open) = self.with(|machine| {
            let was_open = machine.state != BreakerState::Closed;
            machine.end(era, failed, Instant::now());
            (was_open, machine.state != BreakerState::Closed)
        });
        if was_open == is_open {
            return;
        }
        let to = self.to;
        metrics::gauge!("circuit_open", "to" => to).set(u8::from(is_open));
        if is_open {
            metrics::counter!("circuit_opened_total", "to" => to).increment(1);
            self.health.ready_though(
                "too many calls have failed: they are held back and tried one by one",
            );
            tracing::warn!(to, "too many calls have failed: they are held back");
        } else {
            self.health.ready();
            tracing::info!(to, "calls are let through again");
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BreakerMachine) -> T) -> T {
        work(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call that has begun. A call that is dropped, for any reason, has failed.
#[derive(Debug)]
#[must_use = "a call that is dropped has failed"]
pub struct BreakerCall {
    breaker: CircuitBreaker,
    era: u64,
    failed: bool,
}

impl BreakerCall {
    /// The dependency answered, whatever the answer says: the call did not fail.
    pub fn answered(mut self) {
        self.failed = false;
    }
}

impl Drop for BreakerCall {
    fn drop(&mut self) {
        self.breaker.end(self.era, self.failed);
    }
}

#[cfg(test)]
mod tests;
