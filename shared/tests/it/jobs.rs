//! Jobs: which are attempted, how often, by which worker, and their outcomes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use devstack::until;
use shared::{
    db,
    jobs::{self, JobPolicy, WorkerStep},
};
use sqlx::Executor as _;
use tokio::sync::Semaphore;

use crate::probe::{
    Act, Probe, append, database, ended, job, job_key, policy, rows, time_passes, worker,
};

fn said(how: &[(&str, &str)]) -> Vec<(String, String)> {
    how.iter().map(|(key, how)| ((*key).to_owned(), (*how).to_owned())).collect()
}

#[tokio::test]
async fn a_job_is_done_and_its_outcome_brought_home_with_what_is_to_be_said() {
    let pool = database().await;
    append(&pool, &["a", "b"]).await;
    let probe = Probe::default();
    let step = worker(&pool, &probe, policy()).step().await.unwrap();
    assert_eq!(step, WorkerStep { claimed: 2, done: 2, ..WorkerStep::default() });
    assert_eq!(ended(&pool).await, said(&[("a", "done 1"), ("b", "done 1")]));
    assert_eq!(rows(&pool).await, []);
    assert_eq!(probe.settles(), [2], "both in one transaction");
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messaging.outbox").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn a_job_that_is_there_already_stays_as_it_is() {
    let pool = database().await;
    append(&pool, &["a", "a"]).await;
    let mut other = job("a");
    other.payload = serde_json::json!("other");
    jobs::append(&mut pool.acquire().await.unwrap(), &[other]).await.unwrap();
    let probe = Probe::default();
    worker(&pool, &probe, policy()).step().await.unwrap();
    let payloads: Vec<_> = probe.attempts().into_iter().map(|job| job.payload).collect();
    assert_eq!(payloads, [serde_json::json!({ "for": "a" })]);
}

#[tokio::test]
async fn the_attempt_is_committed_before_it_is_made() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate))]);
    // Shorter than the longest lease: a longer attempt has its lease renewed.
    let policy = JobPolicy { attempt_limit: Duration::from_mins(1), ..policy() };
    let attempt = policy.attempt_limit.as_secs_f64();
    let mut worker = worker(&pool, &probe, policy);
    let look = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        let seen = rows(&pool).await;
        gate.add_permits(1);
        seen
    };
    let began = Instant::now();
    let (step, seen) = tokio::join!(worker.step(), look);
    step.unwrap();
    assert_eq!((seen[0].state.as_str(), seen[0].attempt), ("performing", 1));
    let lease = seen[0].due_in + began.elapsed().as_secs_f64();
    assert!(lease > attempt, "the lease outlives the attempt: {seen:?}");
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_off_is_made_again_and_in_doubt() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let probe = Probe::default();
    probe.plan("a", [Act::Hang]);
    let mut crashing = worker(&pool, &probe, policy());
    tokio::select! {
        step = crashing.step() => panic!("it cannot end: {step:?}"),
        () = until("the attempt has begun", async || !probe.attempts().is_empty()) => (),
    }
    drop(crashing);
    let mut other = worker(&pool, &probe, policy());
    assert_eq!(other.step().await.unwrap().claimed, 0, "the lease still holds");
    time_passes(&pool).await;
    assert_eq!(other.step().await.unwrap().done, 1);
    let attempts: Vec<_> =
        probe.attempts().iter().map(|attempt| (attempt.attempt, attempt.in_doubt)).collect();
    assert_eq!(attempts, [(1, false), (2, true)]);
    assert_eq!(ended(&pool).await, said(&[("a", "done 2")]));
}

#[tokio::test]
async fn workers_that_work_side_by_side_never_do_one_job_twice() {
    let pool = database().await;
    let keys: Vec<String> = (0..200).map(|n| format!("job-{n:03}")).collect();
    append(&pool, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let probe = Probe::default();
    let work = async || {
        let mut worker = worker(&pool, &probe, policy());
        while worker.step().await.unwrap().claimed > 0 {}
    };
    tokio::join!(work(), work(), work(), work());
    let mut attempted: Vec<_> = probe.attempts().into_iter().map(|attempt| attempt.key).collect();
    attempted.sort_unstable();
    assert_eq!(attempted, keys);
    assert_eq!(probe.overlaps(), 0);
    assert_eq!(ended(&pool).await.len(), 200);
}

#[tokio::test]
async fn a_job_that_was_never_tried_stays_so_until_the_transaction_that_asked_ends() {
    let pool = database().await;
    append(&pool, &["a", "b"]).await;
    let keys = ["a".to_owned(), "b".to_owned()];
    let (probe, mut tx) = (Probe::default(), db::begin(&pool).await.unwrap());
    assert_eq!(jobs::lock_untouched(&mut tx, "probe", &keys[..1]).await.unwrap(), ["a"]);
    let mut worker = worker(&pool, &probe, policy());
    assert_eq!(worker.step().await.unwrap().claimed, 1, "only the other one");
    assert_eq!(probe.attempts()[0].key, "b");
    jobs::stop(&mut tx, &[job_key("a")]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(worker.step().await.unwrap().claimed, 0);
    assert_eq!(ended(&pool).await, said(&[("b", "done 1")]));
}

#[tokio::test]
async fn a_job_that_is_performed_counts_as_tried() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate))]);
    let mut worker = worker(&pool, &probe, policy());
    let look = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        let conn = &mut *pool.acquire().await.unwrap();
        let untouched = jobs::lock_untouched(conn, "probe", &["a".to_owned()]).await.unwrap();
        gate.add_permits(1);
        untouched
    };
    let (step, untouched) = tokio::join!(worker.step(), look);
    assert_eq!(step.unwrap().done, 1);
    assert_eq!(untouched, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_was_only_ever_refused_had_no_effect_and_one_in_doubt_may_have_had() {
    let pool = database().await;
    append(&pool, &["in-doubt", "lost", "refused"]).await;
    let probe = Probe::default();
    probe.plan("refused", [Act::Refused(None), Act::Refused(None)]);
    probe.plan("in-doubt", [Act::Unknown, Act::Refused(None)]);
    probe.plan("lost", [Act::Panic, Act::Refused(None)]);
    let mut worker = worker(&pool, &probe, policy());
    for _attempt in 0..2 {
        time_passes(&pool).await;
        assert_eq!(worker.step().await.unwrap().again, 3);
    }
    let conn = &mut *pool.acquire().await.unwrap();
    let keys = ["in-doubt", "lost", "refused"].map(str::to_owned);
    assert_eq!(jobs::lock_untouched(conn, "probe", &keys).await.unwrap(), ["refused"]);
}

#[tokio::test]
async fn a_refused_attempt_is_made_again_within_the_schedule() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let probe = Probe::default();
    probe.plan("a", [Act::Refused(None), Act::Refused(None)]);
    let mut worker = worker(&pool, &probe, policy());
    for (attempt, ceiling) in [(1, 60.0), (2, 120.0)] {
        time_passes(&pool).await;
        let began = Instant::now();
        assert_eq!(worker.step().await.unwrap().again, 1);
        let row = rows(&pool).await.remove(0);
        assert_eq!((row.state.as_str(), row.attempt, row.in_doubt), ("waiting", attempt, false));
        // The job is due after its attempt, which was made since.
        let passed = began.elapsed().as_secs_f64();
        assert!((-passed..=ceiling).contains(&row.due_in), "{passed} {row:?}");
        assert_eq!(row.last_error.unwrap(), "the attempt failed and had no effect: refused");
    }
    time_passes(&pool).await;
    assert_eq!(worker.step().await.unwrap().done, 1);
    assert_eq!(ended(&pool).await, said(&[("a", "done 3")]));
}

#[tokio::test]
async fn what_the_outside_asks_for_is_honoured_up_to_the_cap() {
    let pool = database().await;
    append(&pool, &["polite", "rude"]).await;
    let probe = Probe::default();
    probe.plan("polite", [Act::Refused(Some(Duration::from_mins(5)))]);
    probe.plan("rude", [Act::Refused(Some(Duration::from_hours(5)))]);
    let began = Instant::now();
    worker(&pool, &probe, policy()).step().await.unwrap();
    let rows = rows(&pool).await;
    let passed = began.elapsed().as_secs_f64();
    assert!((300.0 - passed..=360.0).contains(&rows[0].due_in), "{passed} {:?}", rows[0]);
    assert!((600.0 - passed..=600.0).contains(&rows[1].due_in), "{passed} {:?}", rows[1]);
}

#[tokio::test]
async fn a_job_is_given_up_after_its_attempts_and_kept_for_people() {
    let pool = database().await;
    append(&pool, &["refused", "unknown", "final"]).await;
    let probe = Probe::default();
    probe.plan("refused", [Act::Refused(None), Act::Refused(None)]);
    probe.plan("unknown", [Act::Unknown, Act::Refused(None)]);
    probe.plan("final", [Act::Final]);
    let twice = JobPolicy { attempts_max: Some(2), ..policy() };
    let mut worker = worker(&pool, &probe, twice);
    let first = worker.step().await.unwrap();
    assert_eq!((first.gave_up, first.again), (1, 2));
    time_passes(&pool).await;
    assert_eq!(worker.step().await.unwrap().gave_up, 2);
    let never = "gave up: the attempt can never succeed: never";
    let refused = "gave up: the attempt failed and had no effect: refused";
    let doubt = "gave up in doubt: the attempt failed and had no effect: refused";
    let how = said(&[("final", never), ("refused", refused), ("unknown", doubt)]);
    assert_eq!(ended(&pool).await, how);
    let rows = rows(&pool).await;
    let kept: Vec<_> = rows.iter().map(|row| (row.state.as_str(), row.in_doubt)).collect();
    assert_eq!(kept, [("dead", false), ("dead", false), ("dead", true)]);
    time_passes(&pool).await;
    assert_eq!(worker.step().await.unwrap(), WorkerStep::default());
}

#[tokio::test]
async fn an_attempt_that_panics_or_takes_too_long_is_in_doubt() {
    // One limit for both would also end the panicking job on a suspended machine.
    let short = JobPolicy { attempt_limit: Duration::from_millis(200), ..policy() };
    for (act, policy, word) in [(Act::Hang, short, "elapsed"), (Act::Panic, policy(), "panic")] {
        let pool = database().await;
        append(&pool, &["a"]).await;
        let probe = Probe::default();
        probe.plan("a", [act]);
        assert_eq!(worker(&pool, &probe, policy).step().await.unwrap().again, 1);
        let row = rows(&pool).await.remove(0);
        assert_eq!((row.state.as_str(), row.in_doubt), ("waiting", true), "{row:?}");
        assert!(row.last_error.as_deref().unwrap().contains(word), "{row:?}");
    }
}

#[tokio::test]
async fn a_job_that_kills_every_worker_is_given_up_without_another_attempt() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    pool.execute("UPDATE messaging.job SET state = 'performing', attempt = 2").await.unwrap();
    let (probe, twice) = (Probe::default(), JobPolicy { attempts_max: Some(2), ..policy() });
    assert_eq!(worker(&pool, &probe, twice).step().await.unwrap().gave_up, 1);
    assert_eq!(probe.attempts(), []);
    assert_eq!(ended(&pool).await, said(&[("a", "gave up in doubt: no attempt ended")]));
}
