//! Settling of job outcomes: lost leases, outages, poison jobs, stopping.

use std::sync::Arc;

use devstack::until;
use shared::{
    effects::WorkerWakers,
    health::ProcessHealth,
    jobs::{JobPolicy, JobWorker, WorkerParts, WorkerStep},
};
use sqlx::Executor as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::probe::{
    Act, Probe, Trouble, append, database, ended, policy, rows, time_passes, worker,
};

/// An attempt outlives its lease; meanwhile another worker makes the next attempt, which is
/// refused. Returns the result of the late attempt's worker.
async fn late(act: impl Fn(Arc<Semaphore>) -> Act) -> (WorkerStep, sqlx::PgPool) {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [act(Arc::clone(&gate)), Act::Refused(None)]);
    let mut slow = worker(&pool, &probe, policy());
    let meanwhile = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        time_passes(&pool).await;
        let step = worker(&pool, &probe, policy()).step().await.unwrap();
        gate.add_permits(1);
        step
    };
    let (step, other) = tokio::join!(Box::pin(slow.step()), Box::pin(meanwhile));
    assert_eq!(other.again, 1);
    (step.unwrap(), pool)
}

#[tokio::test]
async fn a_failure_that_comes_after_its_lease_does_not_count() {
    let (step, pool) = late(Act::GateThenRefused).await;
    assert_eq!((step.again, step.lost), (0, 1));
    let row = rows(&pool).await.remove(0);
    assert_eq!((row.state.as_str(), row.attempt, row.in_doubt), ("waiting", 2, true));
    assert!(row.last_error.unwrap().ends_with("refused"), "the other attempt's word stands");
}

#[tokio::test]
async fn a_success_counts_even_after_its_lease() {
    let (step, pool) = late(Act::Gate).await;
    assert_eq!((step.done, step.lost), (1, 0));
    assert_eq!(rows(&pool).await, []);
    assert_eq!(ended(&pool).await, [("a".to_owned(), "done 1".to_owned())]);
}

#[tokio::test]
async fn two_successes_of_one_job_are_brought_home_once() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate)), Act::Done]);
    let mut slow = worker(&pool, &probe, policy());
    let meanwhile = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        time_passes(&pool).await;
        let step = worker(&pool, &probe, policy()).step().await.unwrap();
        gate.add_permits(1);
        step
    };
    let (step, other) = tokio::join!(Box::pin(slow.step()), Box::pin(meanwhile));
    assert_eq!((other.done, step.unwrap().lost), (1, 1));
    assert_eq!(ended(&pool).await, [("a".to_owned(), "done 2".to_owned())]);
}

#[tokio::test]
async fn a_late_success_does_not_end_a_new_life_of_the_name() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("a", [Act::Gate(Arc::clone(&gate))]);
    let mut slow = worker(&pool, &probe, policy());
    let meanwhile = async {
        until("the attempt has begun", async || !probe.attempts().is_empty()).await;
        pool.execute("DELETE FROM messaging.job").await.unwrap();
        append(&pool, &["a"]).await;
        gate.add_permits(1);
    };
    let (step, ()) = tokio::join!(Box::pin(slow.step()), Box::pin(meanwhile));
    assert_eq!(step.unwrap().lost, 1);
    assert_eq!(rows(&pool).await[0].attempt, 0);
    assert_eq!(ended(&pool).await, []);
}

#[tokio::test]
async fn outcomes_that_cannot_be_brought_home_are_kept_and_brought_later() {
    let pool = database().await;
    append(&pool, &["a", "b"]).await;
    let probe = Probe::default();
    probe.trouble(Trouble::Outage);
    let mut worker = worker(&pool, &probe, policy());
    worker.step().await.unwrap_err();
    assert_eq!(ended(&pool).await, []);
    assert_eq!(worker.step().await.unwrap().done, 2);
    assert_eq!(probe.attempts().len(), 2, "nothing was attempted again");
    assert_eq!(ended(&pool).await.len(), 2);
}

async fn isolated(trouble: Trouble) {
    let pool = database().await;
    append(&pool, &["a", "b", "c", "d"]).await;
    let probe = Probe::default();
    probe.plan("d", [Act::Refused(None)]);
    probe.trouble(trouble);
    let step = worker(&pool, &probe, policy()).step().await.unwrap();
    assert_eq!((step.done, step.again), (2, 2));
    let keys: Vec<_> = ended(&pool).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "c"]);
    let rows = rows(&pool).await;
    let kept: Vec<_> =
        rows.iter().map(|row| (row.key.as_str(), row.state.as_str(), row.in_doubt)).collect();
    assert_eq!(kept, [("b", "waiting", true), ("d", "waiting", false)]);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_applied_holds_no_other_back() {
    isolated(Trouble::Poison("b")).await;
}

#[tokio::test]
async fn a_panic_over_one_outcome_holds_no_other_back() {
    isolated(Trouble::Panic("b")).await;
}

#[tokio::test]
async fn a_job_that_was_given_up_and_cannot_be_settled_is_dead() {
    let pool = database().await;
    append(&pool, &["a"]).await;
    let probe = Probe::default();
    probe.plan("a", [Act::Final]);
    probe.trouble(Trouble::Poison("a"));
    worker(&pool, &probe, policy()).step().await.unwrap();
    let row = rows(&pool).await.remove(0);
    assert_eq!(row.state, "dead");
    assert_eq!(row.last_error.unwrap(), "cannot be");
}

/// A worker that runs until the test has seen enough.
async fn run_until(
    pool: &sqlx::PgPool,
    probe: &Probe,
    policy: JobPolicy,
    seen: impl Future<Output = ()>,
) {
    let stop = CancellationToken::new();
    let running = Box::pin(worker(pool, probe, policy).run(stop.clone()));
    let enough = async {
        seen.await;
        stop.cancel();
    };
    assert_eq!(tokio::join!(running, enough).0, Ok(()));
}

#[tokio::test]
async fn a_slow_attempt_holds_no_other_job_back() {
    let pool = database().await;
    append(&pool, &["fast", "slow"]).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    probe.plan("slow", [Act::Gate(Arc::clone(&gate))]);
    let seen = Box::pin(async {
        until("they are settled", async || probe.settles() == [1]).await;
        append(&pool, &["faster"]).await;
        until("they are settled", async || probe.settles() == [1, 1]).await;
        gate.add_permits(1);
        until("they are settled", async || probe.settles() == [1, 1, 1]).await;
    });
    run_until(&pool, &probe, policy(), seen).await;
    assert_eq!(ended(&pool).await.len(), 3);
}

#[tokio::test]
async fn no_more_jobs_are_performed_at_once_than_allowed() {
    let pool = database().await;
    let keys = ["a", "b", "c", "d", "e"];
    append(&pool, &keys).await;
    let (probe, gate) = (Probe::default(), Arc::new(Semaphore::new(0)));
    for key in keys {
        probe.plan(key, [Act::Gate(Arc::clone(&gate))]);
    }
    let seen = Box::pin(async {
        until("two have begun", async || probe.attempts().len() == 2).await;
        for ended in 1..=keys.len() {
            gate.add_permits(1);
            let settled = async || probe.settles().iter().sum::<usize>() == ended;
            until("one more is settled", settled).await;
            let begun = probe.attempts().len();
            assert!(begun <= ended + 2, "{begun} were begun when {ended} had ended");
        }
    });
    run_until(&pool, &probe, JobPolicy { concurrency_max: 2, ..policy() }, seen).await;
    assert_eq!(ended(&pool).await.len(), keys.len());
}

#[tokio::test]
async fn a_worker_that_stops_brings_home_what_is_known_and_frees_the_rest() {
    let pool = database().await;
    append(&pool, &["done", "hangs"]).await;
    let probe = Probe::default();
    probe.plan("hangs", [Act::Hang]);
    let seen = until("one is done and the other one hangs", async || {
        probe.attempts().len() == 2 && probe.under_way() == 1
    });
    run_until(&pool, &probe, policy(), seen).await;
    assert_eq!(ended(&pool).await, [("done".to_owned(), "done 1".to_owned())]);
    let row = rows(&pool).await.remove(0);
    assert_eq!((row.state.as_str(), row.in_doubt), ("waiting", true), "no lease is left behind");
}

#[tokio::test]
async fn a_wake_up_is_enough() {
    let pool = database().await;
    let (probe, wakers) = (Probe::default(), WorkerWakers::default());
    let never = JobPolicy { poll: std::time::Duration::from_hours(1), ..policy() };
    let health = ProcessHealth::default();
    let parts = WorkerParts {
        service: "probe",
        effect: probe.clone(),
        policy: never,
        pool: pool.clone(),
        wakers: wakers.clone(),
        health: health.component("jobs"),
    };
    let stop = CancellationToken::new();
    let seen = async {
        // The worker has looked, found nothing, and would not look again for an hour.
        until("it has looked", async || health.is_ready()).await;
        append(&pool, &["a"]).await;
        wakers.jobs.wake("probe");
        until("they are settled", async || probe.settles() == [1]).await;
        stop.cancel();
    };
    tokio::join!(JobWorker::new(parts).run(stop.clone()), seen).0.unwrap();
}

#[tokio::test]
async fn more_jobs_than_fit_are_done_all_the_same_and_in_batches() {
    let pool = database().await;
    let keys: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    append(&pool, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let probe = Probe::default();
    let seen = until("all are settled", async || probe.settles().iter().sum::<usize>() == 300);
    run_until(&pool, &probe, policy(), seen).await;
    assert_eq!(rows(&pool).await, []);
    assert!(probe.settles().len() < 100, "{:?}", probe.settles());
}
