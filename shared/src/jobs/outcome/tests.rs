//! The whole schedule of a job, by a clock that moves only as the schedule says.

use time::macros::datetime;

use super::*;
use crate::{backoff::BackoffSchedule, clock::Clock, fault::FaultSource};

/// The policy of a charge.
fn policy() -> JobPolicy {
    JobPolicy {
        backoff: BackoffSchedule {
            first: Duration::from_millis(500),
            factor: 2.0,
            cap: Duration::from_secs(30),
        },
        attempts_max: Some(10),
        attempt_limit: Duration::from_secs(10),
        concurrency_max: 1,
        poll: Duration::from_secs(1),
    }
}

fn by(policy: &JobPolicy) -> RetryRules<'_> {
    RetryRules { policy, doubts: None }
}

fn claimed(attempt: i32, in_doubt: bool) -> ClaimedJob {
    ClaimedJob {
        key: "a".to_owned(),
        payload: serde_json::Value::Null,
        attempt,
        in_doubt,
        trace: None,
    }
}

fn said() -> FaultSource {
    "no".into()
}

fn refused(retry_after: Option<Duration>) -> AttemptFailure {
    AttemptFailure::NoEffect { source: said(), retry_after }
}

/// One life of a job in which every attempt fails like this: the waits between, and its end.
fn live(fail: impl Fn(i32) -> AttemptFailure) -> (Vec<Duration>, JobResult<()>) {
    let clock = Clock::fixed(datetime!(2026-01-02 03:04:05 UTC));
    let (mut began, mut waits, mut in_doubt) = (clock.now(), vec![], false);
    for attempt in 1.. {
        match judge::<()>(by(&policy()), &claimed(attempt, in_doubt), 0, Err(fail(attempt))) {
            AttemptVerdict::Again { delay, in_doubt: doubt, .. } => {
                clock.advance(delay.try_into().unwrap());
                waits.push((clock.now() - began).unsigned_abs());
                (began, in_doubt) = (clock.now(), doubt);
            }
            AttemptVerdict::Ended(ended) => return (waits, ended),
        }
    }
    unreachable!("attempts are limited")
}

fn millis(waits: &[Duration]) -> Vec<u128> {
    waits.iter().map(Duration::as_millis).collect()
}

#[test]
fn a_job_is_tried_so_often_and_each_wait_may_be_twice_the_one_before_up_to_the_cap() {
    let ceilings = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
    let (mut longest, mut shorter_than_before) = ([Duration::ZERO; 9], false);
    for _life in 0..1_000 {
        let (waits, ended) = live(|_| refused(None));
        assert_eq!(waits.len(), 9, "ten attempts, nine waits");
        assert!(matches!(ended, JobResult::GaveUp { in_doubt: false, .. }), "{ended:?}");
        for ((wait, ceiling), longest) in waits.iter().zip(ceilings).zip(&mut longest) {
            assert!(*wait <= Duration::from_millis(ceiling), "{:?}", millis(&waits));
            *longest = (*longest).max(*wait);
        }
        shorter_than_before |= waits.windows(2).any(|pair| pair[1] < pair[0]);
    }
    // Full jitter: any wait up to the ceiling occurs, and the waits differ.
    for (longest, ceiling) in longest.iter().zip(ceilings) {
        assert!(longest.as_millis() > u128::from(ceiling) * 9 / 10, "{longest:?} of {ceiling} ms");
    }
    // One life alone may be an exception: one of a hundred is.
    assert!(shorter_than_before, "no wait was shorter than the one before");
}

#[test]
fn what_the_far_side_asks_for_is_waited_for_and_no_longer_than_the_cap() {
    let (waits, _) = live(|attempt| {
        refused(match attempt {
            1 => Some(Duration::from_secs(7)),
            2 => Some(Duration::from_hours(1)),
            _ => None,
        })
    });
    assert!((7_000..=7_500).contains(&waits[0].as_millis()), "{:?}", millis(&waits));
    assert_eq!(waits[1], Duration::from_secs(30), "the cap");
    assert!(waits[2] <= Duration::from_secs(2), "it was asked for once");
}

#[test]
fn doubt_lasts_for_the_whole_life_and_what_is_final_ends_it_at_once() {
    let (waits, ended) = live(|attempt| match attempt {
        3 => AttemptFailure::InDoubt { source: said() },
        _ => refused(None),
    });
    assert_eq!(waits.len(), 9);
    assert!(matches!(ended, JobResult::GaveUp { in_doubt: true, .. }), "{ended:?}");
    let (waits, ended) = live(|attempt| match attempt {
        4 => AttemptFailure::Permanent { source: said() },
        _ => refused(None),
    });
    assert_eq!(waits.len(), 3);
    assert!(matches!(ended, JobResult::GaveUp { in_doubt: false, .. }), "{ended:?}");
}

#[test]
fn a_job_without_a_limit_goes_on_at_the_cap_for_ever() {
    let unlimited = JobPolicy { attempts_max: None, ..policy() };
    for attempt in [10, 1_000, i32::MAX] {
        assert_eq!(used_up(by(&unlimited), &claimed(attempt, false), 9), None);
        match judge::<()>(by(&unlimited), &claimed(attempt, false), 9, Err(refused(None))) {
            AttemptVerdict::Again { delay, .. } => assert!(delay <= unlimited.backoff.cap),
            AttemptVerdict::Ended(ended) => panic!("{ended:?}"),
        }
    }
}

#[test]
fn attempts_whose_outcome_stays_open_are_few_and_wait_longer_each_time_where_each_may_have_happened()
 {
    let policy = JobPolicy { attempts_max: Some(50), ..policy() };
    let few = DoubtLimit { max: 3, pause: Duration::from_secs(1) };
    let rules = RetryRules { policy: &policy, doubts: Some(few) };
    let unknown = || Err(AttemptFailure::InDoubt { source: said() });
    for (before, pause) in [(0, 1), (1, 5)] {
        let verdict = judge::<()>(rules, &claimed(1, before > 0), before, unknown());
        let AttemptVerdict::Again { delay, in_doubt: true, open: true, .. } = verdict else {
            panic!("{verdict:?} after {before} doubts before");
        };
        let range = Duration::from_secs(pause)..=Duration::from_millis(pause * 1_000 + 500);
        assert!(range.contains(&delay), "{delay:?} after {before} doubts before");
    }
    let third = judge::<()>(rules, &claimed(7, true), 2, unknown());
    assert!(
        matches!(third, AttemptVerdict::Ended(JobResult::GaveUp { in_doubt: true, .. })),
        "{third:?}"
    );
    // An attempt without an effect for certain is tried as often as the policy says.
    let refused = judge::<()>(rules, &claimed(49, true), 2, Err(refused(None)));
    assert!(matches!(refused, AttemptVerdict::Again { open: false, .. }), "{refused:?}");
    // Workers that died during an attempt count as well.
    assert_eq!(used_up(rules, &claimed(4, true), 2), None);
    assert!(used_up(rules, &claimed(4, true), 3).is_some());
}
