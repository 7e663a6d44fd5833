//! Long attempts, and attempts whose outcome stays unknown.

use std::{sync::Arc, time::Duration};

use devstack::until;
use shared::jobs::{DoubtLimit, JobPolicy, LeaseTimes, WorkerStep};
use sqlx::{Executor as _, PgPool};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::probe::{Act, Probe, append, database, ended, policy, rows, time_passes, worker};

async fn lease_end(pool: &PgPool) -> OffsetDateTime {
    sqlx::query_scalar("SELECT due_at FROM messaging.job").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_takes_longer_than_its_lease_is_made_once() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate))]);
    let always = LeaseTimes { renewed: Duration::ZERO, ..LeaseTimes::default() };
    let stop = CancellationToken::new();
    let slow = worker(&pool, &probe, policy()).with_leases(always);
    let meanwhile = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        for _lease in 0..3 {
            let end = lease_end(&pool).await;
            until("its lease is renewed", async || lease_end(&pool).await > end).await;
            let other = worker(&pool, &probe, policy()).step().await.unwrap();
            assert_eq!(other, WorkerStep::default());
        }
        gate.add_permits(1);
        until("it is done", async || rows(&pool).await.is_empty()).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(slow.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    assert_eq!(probe.attempts().len(), 1);
    assert_eq!(ended(&pool).await, [("a".to_owned(), "done 1".to_owned())]);
}

#[tokio::test]
async fn what_a_crashed_worker_held_is_free_soon_however_long_an_attempt_may_take() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, long) = (Probe::default(), Duration::from_hours(1));
    probe.plan("a", [Act::Hang]);
    let mut dying = worker(&pool, &probe, JobPolicy { attempt_limit: long, ..policy() });
    tokio::select! {
        step = dying.step() => panic!("it ended: {step:?}"),
        () = until("the attempt has begun", async || !probe.attempts().is_empty()) => (),
    }
    drop(dying);
    let row = rows(&pool).await.remove(0);
    assert_eq!(row.state, "performing");
    assert!(row.due_in <= LeaseTimes::default().longest.as_secs_f64(), "{row:?}");
}

#[tokio::test]
async fn a_worker_does_not_claim_what_it_still_works_on_though_the_lease_has_run_out() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate))]);
    // Like a process that was suspended for longer than a lease: it renews none, and looks again.
    let short = LeaseTimes { longest: Duration::ZERO, renewed: Duration::from_hours(1) };
    let stop = CancellationToken::new();
    let worker = worker(&pool, &probe, policy()).with_leases(short);
    let meanwhile = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        for later in ["b", "c", "d"] {
            append(&pool, &[later]).await;
            let of_it = async || ended(&pool).await.iter().any(|(key, _)| key == later);
            until("what is due later is done", of_it).await;
        }
        gate.add_permits(5);
        until("it is done", async || rows(&pool).await.is_empty()).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(worker.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    assert_eq!(probe.attempts().iter().filter(|job| job.key == "a").count(), 1);
    assert_eq!(probe.overlaps(), 0);
    assert_eq!(ended(&pool).await[0], ("a".to_owned(), "done 1".to_owned()));
}

/// Three attempts may end with their outcome open.
fn few() -> DoubtLimit {
    DoubtLimit { max: 3, pause: Duration::from_mins(1) }
}

#[tokio::test]
async fn a_job_is_given_up_in_doubt_after_as_many_open_outcomes_as_its_effect_allows() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let probe = Probe::default();
    probe.allow(few());
    let (refused, unknown) = (Act::Refused(None), Act::Unknown);
    probe.plan("a", [&unknown, &refused, &refused, &unknown, &refused, &unknown].map(Clone::clone));
    let mut worker = worker(&pool, &probe, policy());
    for _attempt in 0..5 {
        assert_eq!(worker.step().await.unwrap().again, 1);
        time_passes(&pool).await;
    }
    assert_eq!(worker.step().await.unwrap().gave_up, 1);
    let how = ended(&pool).await.remove(0).1;
    assert!(how.starts_with("gave up in doubt"), "{how}");
    let row = rows(&pool).await.remove(0);
    assert_eq!((row.state.as_str(), row.in_doubt), ("dead", true));
}

#[tokio::test]
async fn workers_that_die_in_the_middle_leave_open_outcomes_that_count() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let probe = Probe::default();
    probe.allow(few());
    pool.execute("UPDATE messaging.job SET state = 'performing', attempt = 3, doubts = 2")
        .await
        .unwrap();
    assert_eq!(worker(&pool, &probe, policy()).step().await.unwrap().gave_up, 1);
    assert_eq!(probe.attempts(), []);
    let doubt = "gave up in doubt: the outcome of 3 attempts stayed open";
    assert_eq!(ended(&pool).await, [("a".to_owned(), doubt.to_owned())]);
}
