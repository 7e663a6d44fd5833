use proptest::prelude::*;

use super::*;

fn settings() -> AdmissionSettings {
    AdmissionSettings {
        messages_max: 100,
        age_max: Duration::from_secs(30),
        ..AdmissionSettings::default()
    }
}

fn backlog(messages: u64, seconds: u64) -> OutboxBacklog {
    OutboxBacklog { messages, age: Duration::from_secs(seconds) }
}

/// The state of the gate after each of these samples.
fn stands(looks: &[(u64, u64)]) -> Vec<bool> {
    let mut is_open = true;
    let look = |(messages, seconds): &(u64, u64)| {
        is_open = settings().opens(&backlog(*messages, *seconds), is_open);
        is_open
    };
    looks.iter().map(look).collect()
}

#[test]
fn the_gate_shuts_above_a_limit_and_opens_at_half_of_it() {
    let by_number = [(100, 0), (101, 0), (100, 0), (51, 0), (50, 0), (100, 0)];
    assert_eq!(stands(&by_number), [true, false, false, false, true, true]);
    let by_age = [(1, 30), (1, 31), (1, 16), (1, 15), (1, 30)];
    assert_eq!(stands(&by_age), [true, false, false, true, true]);
    let by_one_then_the_other = [(101, 0), (50, 16), (0, 0)];
    assert_eq!(stands(&by_one_then_the_other), [false, false, true]);
}

#[test]
fn a_gate_that_nobody_watches_lets_in() {
    assert_eq!(AdmissionGate::default().refuses(), None);
}

proptest! {
    #[test]
    fn a_backlog_that_stays_moves_the_gate_once_at_most(
        messages in 0..200_u64, seconds in 0..60_u64, was_open: bool,
    ) {
        let once = settings().opens(&backlog(messages, seconds), was_open);
        prop_assert_eq!(settings().opens(&backlog(messages, seconds), once), once);
    }
}
