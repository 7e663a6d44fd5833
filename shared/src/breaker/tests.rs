use proptest::prelude::*;

use super::*;
use crate::health::ProcessHealth;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> BreakerSettings {
    BreakerSettings { calls: 4, failures: 3, open_first: 2 * SECOND, open_cap: 5 * SECOND }
}

/// A circuit breaker with a clock that the test sets.
struct Bench {
    machine: BreakerMachine,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { machine: BreakerMachine::new(settings()), now: Instant::now() }
    }

    fn call(&mut self, failed: bool) -> Result<(), HeldBack> {
        let era = self.machine.begin(self.now)?;
        self.machine.end(era, failed, self.now);
        Ok(())
    }

    fn open(&mut self) {
        while self.call(true).is_ok() {}
    }
}

#[test]
fn it_opens_when_enough_of_the_last_calls_failed() {
    let mut bench = Bench::new();
    for failed in [true, true, false, false, true, true, false, false, true, true] {
        bench.call(failed).unwrap();
        assert_eq!(bench.machine.room(bench.now), usize::MAX);
    }
    bench.call(true).unwrap();
    assert_eq!(bench.call(true), Err(HeldBack { wait: 2 * SECOND }));
    assert_eq!(bench.machine.room(bench.now), 0);
}

#[test]
fn one_call_makes_the_trial_and_closes_it() {
    let mut bench = Bench::new();
    bench.open();
    bench.now += 2 * SECOND;
    assert_eq!(bench.machine.room(bench.now), 1);
    let trial = bench.machine.begin(bench.now).unwrap();
    assert_eq!(bench.machine.room(bench.now), 0);
    assert!(bench.machine.begin(bench.now).is_err(), "one is enough");
    bench.machine.end(trial, false, bench.now);
    assert_eq!(bench.call(true), Ok(()));
    assert_eq!(bench.machine.room(bench.now), usize::MAX, "what was before is forgotten");
}

#[test]
fn each_trial_that_fails_makes_it_wait_longer_up_to_a_cap() {
    let mut bench = Bench::new();
    bench.open();
    let mut waits = vec![];
    for _trial in 0..4 {
        let HeldBack { wait } = bench.call(true).unwrap_err();
        waits.push(wait.as_secs());
        bench.now += wait;
        bench.call(true).unwrap();
    }
    assert_eq!(waits, [2, 4, 5, 5]);
}

#[test]
fn what_comes_home_late_counts_for_nothing() {
    let mut bench = Bench::new();
    let (good, bad) =
        (bench.machine.begin(bench.now).unwrap(), bench.machine.begin(bench.now).unwrap());
    bench.open();
    bench.now += 2 * SECOND;
    let trial = bench.machine.begin(bench.now).unwrap();
    bench.machine.end(good, false, bench.now);
    assert_eq!(bench.machine.room(bench.now), 0, "the trial still runs");
    bench.machine.end(trial, false, bench.now);
    for _late in 0..9 {
        bench.machine.end(bad, true, bench.now);
    }
    assert_eq!(bench.machine.room(bench.now), usize::MAX);
}

#[test]
fn a_call_that_is_dropped_has_failed_and_all_of_it_is_shown_without_making_anybody_unready() {
    let health = ProcessHealth::default();
    let breaker = CircuitBreaker::new("far-side", settings(), health.component("far-side"));
    for _call in 0..9 {
        breaker.begin().unwrap().answered();
    }
    for _call in 0..3 {
        drop(breaker.begin().unwrap());
    }
    assert_eq!(breaker.room(), 0);
    assert!(breaker.begin().is_err());
    assert!(health.is_ready());
    assert!(health.report()["far-side"].clone().unwrap().contains("held back"));
}

proptest! {
    #[test]
    fn it_never_stays_open_for_longer_than_its_cap(
        calls in prop::collection::vec((any::<bool>(), 0..3_u64), 0..200),
    ) {
        let mut bench = Bench::new();
        for (failed, seconds) in calls {
            if let Err(HeldBack { wait }) = bench.call(failed) {
                prop_assert!(wait <= settings().open_cap);
                bench.now += wait;
                prop_assert_eq!(bench.machine.room(bench.now), 1);
            }
            bench.now += Duration::from_secs(seconds);
        }
    }
}
