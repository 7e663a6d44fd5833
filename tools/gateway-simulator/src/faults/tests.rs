//! Random faults: one seed gives one sequence; rates out of bounds are refused.

use serde_json::{Value, json};

use super::*;

fn faults(given: Value) -> FaultSettings {
    serde_json::from_value(given).unwrap()
}

fn row(switches: &FaultSwitches) -> Vec<CallFate> {
    (0..100).map(|_| switches.draw()).collect()
}

fn mixed(seed: u64) -> FaultSettings {
    faults(json!({
        "refuse_rate": 0.3, "error_after_rate": 0.3, "drop_before_rate": 0.3, "drop_after_rate": 0.3,
        "delay_ms": { "min": 0, "max": 1_000 }, "seed": seed,
    }))
}

#[test]
fn one_seed_gives_one_row_of_fates() {
    let (one, other) = (FaultSwitches::new(), FaultSwitches::new());
    other.draw();
    one.switch(mixed(7)).unwrap();
    other.switch(mixed(7)).unwrap();
    let first = row(&one);
    assert_eq!(first, row(&other));
    one.switch(mixed(8)).unwrap();
    assert_ne!(first, row(&one));
}

#[test]
fn a_rate_moves_only_its_own_fault() {
    let (one, other) = (FaultSwitches::new(), FaultSwitches::new());
    one.switch(mixed(7)).unwrap();
    other.switch(FaultSettings { refuse_rate: 0.0, ..mixed(7) }).unwrap();
    for (with, without) in row(&one).into_iter().zip(row(&other)) {
        assert_eq!((with.delay, with.ending), (without.delay, without.ending));
        assert_ne!(without.start, CallStart::Refuse);
    }
}

#[test]
fn a_healthy_gateway_lets_every_call_pass() {
    let healthy = CallFate {
        start: CallStart::Pass,
        delay: Duration::ZERO,
        slow: Duration::from_millis(SLOW_DEFAULT_MS),
        ending: CallEnding::Answer,
    };
    assert_eq!(row(&FaultSwitches::new()), vec![healthy; 100]);
}

#[test]
fn faults_out_of_bounds_are_refused_and_change_nothing() {
    let switches = FaultSwitches::new();
    switches.switch(mixed(7)).unwrap();
    let wrong = [
        json!({ "refuse_rate": 1.1 }),
        json!({ "error_after_rate": -0.1 }),
        json!({ "drop_before_rate": 2 }),
        json!({ "drop_after_rate": -1 }),
        json!({ "delay_ms": { "min": 2, "max": 1 } }),
        json!({ "delay_ms": { "min": 0, "max": DELAY_MAX_MS + 1 } }),
        json!({ "slow_ms": DELAY_MAX_MS + 1 }),
    ];
    for given in wrong {
        let refused = switches.switch(faults(given.clone()));
        assert!(matches!(refused, Err(RequestRefusal::Invalid(_))), "{given}");
    }
    assert_eq!(switches.faults(), mixed(7));
}
