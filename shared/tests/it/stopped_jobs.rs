//! Stopping a job: it is not attempted again, whatever its state at that moment.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use serde_json::Value;
use shared::{
    backoff::BackoffSchedule,
    effects::{DecisionEffects, WorkerWakers},
    fault::Fault,
    health::ProcessHealth,
    jobs::{
        self, AttemptFailure, ClaimedJob, JobHandler, JobKey, JobPolicy, JobResult, JobWorker,
        NewJob, WorkerParts, WorkerStep,
    },
};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use tokio::sync::Notify;

use crate::kit::{PATIENCE, database};

/// Performs its instruction once the gate is open.
#[derive(Clone, Debug, Default)]
struct HeldJob {
    fails: bool,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    brought_home: Arc<AtomicU32>,
}

impl JobHandler for HeldJob {
    const KIND: &'static str = "held_job";
    type Done = ();

    async fn perform(&self, _job: &ClaimedJob) -> Result<(), AttemptFailure> {
        self.begun.notify_one();
        self.go_on.notified().await;
        if self.fails {
            return Err(AttemptFailure::NoEffect { source: "not now".into(), retry_after: None });
        }
        Ok(())
    }

    async fn settle(
        &self,
        _conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<()>)],
    ) -> Result<DecisionEffects, Fault> {
        let n = u32::try_from(ended.len()).unwrap();
        self.brought_home.fetch_add(n, Ordering::SeqCst);
        Ok(DecisionEffects::default())
    }
}

fn worker(pool: &PgPool, held_job: &HeldJob) -> JobWorker<HeldJob> {
    let backoff = BackoffSchedule { first: Duration::ZERO, factor: 1.0, cap: Duration::ZERO };
    let policy = JobPolicy {
        backoff,
        attempts_max: None,
        attempt_limit: PATIENCE,
        concurrency_max: 4,
        poll: Duration::from_secs(1),
    };
    let health = ProcessHealth::default().component("jobs");
    let (effect, pool, wakers) = (held_job.clone(), pool.clone(), WorkerWakers::default());
    JobWorker::new(WorkerParts { service: "probe", effect, policy, pool, wakers, health })
}

fn key() -> JobKey {
    JobKey { kind: HeldJob::KIND, key: "one".to_owned() }
}

async fn keep(pool: &PgPool) {
    let job = NewJob { key: key(), payload: Value::Null, trace: None };
    jobs::append(&mut pool.acquire().await.unwrap(), &[job]).await.unwrap();
}

async fn stop(pool: &PgPool) {
    jobs::stop(&mut pool.acquire().await.unwrap(), &[key()]).await.unwrap();
}

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.job").fetch_one(pool).await.unwrap()
}

/// Stops the job during its attempt; then lets the attempt end.
async fn stopped_in_the_middle(pool: &PgPool, held_job: &HeldJob) -> WorkerStep {
    keep(pool).await;
    let mut worker = worker(pool, held_job);
    let stopping = async {
        held_job.begun.notified().await;
        stop(pool).await;
        held_job.go_on.notify_one();
    };
    tokio::join!(worker.step(), stopping).0.unwrap()
}

#[tokio::test]
async fn a_job_that_waits_is_gone_when_it_is_stopped() {
    let (pool, _) = database().await;
    keep(&pool).await;
    stop(&pool).await;
    assert_eq!(worker(&pool, &HeldJob::default()).step().await.unwrap().claimed, 0);
}

#[tokio::test]
async fn a_job_that_fails_after_it_was_stopped_is_not_attempted_again() {
    let (pool, _) = database().await;
    let held_job = HeldJob { fails: true, ..HeldJob::default() };
    assert_eq!(stopped_in_the_middle(&pool, &held_job).await.again, 1);
    assert_eq!(rows(&pool).await, 0);
    assert_eq!(worker(&pool, &held_job).step().await.unwrap().claimed, 0);
}

#[tokio::test]
async fn a_job_that_succeeds_after_it_was_stopped_is_brought_home() {
    let (pool, _) = database().await;
    let held_job = HeldJob::default();
    assert_eq!(stopped_in_the_middle(&pool, &held_job).await.done, 1);
    assert_eq!(held_job.brought_home.load(Ordering::SeqCst), 1);
    assert_eq!(rows(&pool).await, 0);
}

#[tokio::test]
async fn a_stopped_job_whose_worker_died_is_not_attempted_again() {
    let (pool, _) = database().await;
    let held_job = HeldJob::default();
    keep(&pool).await;
    let mut dying = worker(&pool, &held_job);
    tokio::select! {
        _step = dying.step() => panic!("the attempt ended by itself"),
        () = held_job.begun.notified() => drop(dying),
    }
    stop(&pool).await;
    sqlx::query("UPDATE messaging.job SET due_at = now()").execute(&pool).await.unwrap();
    assert_eq!(worker(&pool, &held_job).step().await.unwrap().claimed, 0);
    assert_eq!(rows(&pool).await, 0);
}

#[tokio::test]
async fn a_job_that_is_wanted_again_while_it_is_stopped_goes_on() {
    let (pool, _) = database().await;
    let held_job = HeldJob { fails: true, ..HeldJob::default() };
    keep(&pool).await;
    let mut worker = worker(&pool, &held_job);
    let meanwhile = async {
        held_job.begun.notified().await;
        stop(&pool).await;
        keep(&pool).await;
        held_job.go_on.notify_one();
    };
    tokio::join!(worker.step(), meanwhile).0.unwrap();
    assert_eq!(rows(&pool).await, 1);
}

#[tokio::test]
async fn a_job_that_was_given_up_is_gone_when_it_is_stopped() {
    let (pool, _) = database().await;
    keep(&pool).await;
    sqlx::query("UPDATE messaging.job SET state = 'dead'").execute(&pool).await.unwrap();
    stop(&pool).await;
    assert_eq!(rows(&pool).await, 0);
}
