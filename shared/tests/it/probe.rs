//! A test effect whose attempts do what the test sets, and are recorded.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use shared::{
    backoff::BackoffSchedule,
    effects::{DecisionEffects, MetricUpdate, WorkerWakers},
    fault::Fault,
    health::ProcessHealth,
    jobs::{
        self, AttemptFailure, ClaimedJob, DoubtLimit, JobHandler, JobKey, JobPolicy, JobResult,
        JobWorker, NewJob, StopGrace, WorkerParts,
    },
};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::sync::Semaphore;

use crate::kit::{self, number};

/// The outcome of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Done,
    /// The attempt is refused, with this wait before the next one.
    Refused(Option<Duration>),
    Unknown,
    /// The job can never be done.
    Final,
    Panic,
    Hang,
    /// The attempt is done once the gate is opened.
    Gate(Arc<Semaphore>),
    /// The attempt is refused once the gate is opened.
    GateThenRefused(Arc<Semaphore>),
}

/// The way in which settling the outcomes fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A transient fault, once.
    Outage,
    /// The outcome of this job can never be settled.
    Poison(&'static str),
    /// Settling panics on the outcome of this job.
    Panic(&'static str),
}

#[derive(Debug, Default)]
struct State {
    plan: HashMap<String, VecDeque<Act>>,
    trouble: Vec<Trouble>,
    attempts: Vec<ClaimedJob>,
    performing: HashSet<String>,
    overlaps: usize,
    settles: Vec<usize>,
    doubts: Option<DoubtLimit>,
    room: Option<usize>,
    next: HashMap<String, NewJob>,
}

/// The effect. Clones share the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe(Arc<Mutex<State>>);

impl Probe {
    /// The attempts at this job, in order; when they are used up, it is done.
    pub(crate) fn plan(&self, key: &str, acts: impl IntoIterator<Item = Act>) {
        self.0.lock().unwrap().plan.insert(key.to_owned(), acts.into_iter().collect());
    }

    /// The most attempts that may end with their outcome open.
    pub(crate) fn allow(&self, doubts: DoubtLimit) {
        self.0.lock().unwrap().doubts = Some(doubts);
    }

    /// How many more jobs may begin.
    pub(crate) fn restrict(&self, room: usize) {
        self.0.lock().unwrap().room = Some(room);
    }

    /// The job that the outcome of this one asks for.
    pub(crate) fn follow(&self, key: &str, next: NewJob) {
        self.0.lock().unwrap().next.insert(key.to_owned(), next);
    }

    /// The fault of settling the outcomes.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.0.lock().unwrap().trouble.push(trouble);
    }

    /// The attempts that were made.
    pub(crate) fn attempts(&self) -> Vec<ClaimedJob> {
        self.0.lock().unwrap().attempts.clone()
    }

    /// How many jobs are being attempted now.
    pub(crate) fn under_way(&self) -> usize {
        self.0.lock().unwrap().performing.len()
    }

    /// How many attempts at one job have overlapped.
    pub(crate) fn overlaps(&self) -> usize {
        self.0.lock().unwrap().overlaps
    }

    /// How many outcomes were settled together, each time.
    pub(crate) fn settles(&self) -> Vec<usize> {
        self.0.lock().unwrap().settles.clone()
    }

    fn begin(&self, job: &ClaimedJob) -> Act {
        let mut state = self.0.lock().unwrap();
        state.attempts.push(job.clone());
        if !state.performing.insert(job.key.clone()) {
            state.overlaps += 1;
        }
        state.plan.get_mut(&job.key).and_then(VecDeque::pop_front).unwrap_or(Act::Done)
    }

    fn end(&self, job: &ClaimedJob) {
        self.0.lock().unwrap().performing.remove(&job.key);
    }
}

impl JobHandler for Probe {
    const KIND: &'static str = "probe";
    type Done = String;

    fn room(&self) -> usize {
        self.0.lock().unwrap().room.unwrap_or(usize::MAX)
    }

    fn doubts(&self) -> Option<DoubtLimit> {
        self.0.lock().unwrap().doubts
    }

    async fn perform(&self, job: &ClaimedJob) -> Result<String, AttemptFailure> {
        let act = self.begin(job);
        tokio::task::yield_now().await;
        let outcome = match act {
            Act::Done => Ok(()),
            Act::Refused(retry_after) => {
                Err(AttemptFailure::NoEffect { source: "refused".into(), retry_after })
            }
            Act::Unknown => Err(AttemptFailure::InDoubt { source: "no answer".into() }),
            Act::Final => Err(AttemptFailure::Permanent { source: "never".into() }),
            Act::Panic => panic!("the attempt panics"),
            Act::Hang => std::future::pending().await,
            Act::Gate(gate) => {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
            Act::GateThenRefused(gate) => {
                gate.acquire().await.unwrap().forget();
                Err(AttemptFailure::NoEffect { source: "refused late".into(), retry_after: None })
            }
        };
        self.end(job);
        outcome.map(|()| format!("done {}", job.attempt))
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<String>)],
    ) -> Result<DecisionEffects, Fault> {
        let troubles = self.0.lock().unwrap().trouble.clone();
        for trouble in troubles {
            let meets = |key: &str| ended.iter().any(|(job, _)| job.key == key);
            match trouble {
                Trouble::Outage => {
                    self.0.lock().unwrap().trouble.retain(|trouble| *trouble != Trouble::Outage);
                    return Err(Fault::transient("an outage"));
                }
                Trouble::Poison(key) if meets(key) => return Err(Fault::poison("cannot be")),
                Trouble::Panic(key) => assert!(!meets(key), "settling panics"),
                Trouble::Poison(_) => (),
            }
        }
        self.0.lock().unwrap().settles.push(ended.len());
        let mut messages = Vec::new();
        for (job, how) in ended {
            let how = match how {
                JobResult::Done(done) => done.clone(),
                JobResult::GaveUp { in_doubt: true, reason } => {
                    format!("gave up in doubt: {reason}")
                }
                JobResult::GaveUp { in_doubt: false, reason } => format!("gave up: {reason}"),
            };
            sqlx::query("INSERT INTO ended (key, how) VALUES ($1, $2)")
                .bind(&job.key)
                .bind(how)
                .execute(&mut *conn)
                .await?;
            messages.push(number("ended", &job.key, 1, i64::from(job.attempt)));
        }
        let metrics = vec![MetricUpdate::count("probe_ended_total", &[]); ended.len()];
        let mut next = std::mem::take(&mut self.0.lock().unwrap().next);
        let jobs = ended.iter().filter_map(|(job, _)| next.remove(&job.key)).collect();
        Ok(DecisionEffects { messages, jobs, metrics, ..DecisionEffects::default() })
    }
}

/// A database with the tables of the messaging runtime and a list of ended jobs.
pub(crate) async fn database() -> PgPool {
    let (pool, _) = kit::database().await;
    pool.execute("CREATE TABLE ended (key text NOT NULL, how text NOT NULL)").await.unwrap();
    pool
}

/// A policy that never gives up and waits long between attempts.
pub(crate) fn policy() -> JobPolicy {
    let cap = Duration::from_mins(10);
    JobPolicy {
        backoff: BackoffSchedule { first: Duration::from_mins(1), factor: 2.0, cap },
        attempts_max: None,
        attempt_limit: kit::PATIENCE,
        concurrency_max: 16,
        poll: Duration::from_millis(20),
    }
}

/// A worker of this effect without time limits once it is told to stop, except for attempts that
/// never end.
pub(crate) fn worker(pool: &PgPool, probe: &Probe, policy: JobPolicy) -> JobWorker<Probe> {
    worker_of(pool, probe, policy, &WorkerWakers::default())
}

/// The same, which is handed jobs by those who have these wakers.
pub(crate) fn worker_of(
    pool: &PgPool,
    probe: &Probe,
    policy: JobPolicy,
    wakers: &WorkerWakers,
) -> JobWorker<Probe> {
    let stopping = StopGrace { attempts: Duration::from_millis(100), in_all: kit::PATIENCE };
    let (pool, effect, wakers) = (pool.clone(), probe.clone(), wakers.clone());
    let health = ProcessHealth::default().component("jobs");
    let parts = WorkerParts { service: "probe", effect, policy, pool, wakers, health };
    JobWorker::new(parts).stopping_within(stopping)
}

/// Stores jobs of these names.
pub(crate) async fn append(pool: &PgPool, keys: &[&str]) {
    let jobs: Vec<_> = keys.iter().map(|key| job(key)).collect();
    jobs::append(&mut pool.acquire().await.unwrap(), &jobs).await.unwrap();
}

/// A job of this name.
pub(crate) fn job(key: &str) -> NewJob {
    NewJob { key: job_key(key), payload: json!({ "for": key }), trace: None }
}

/// The name of a job.
pub(crate) fn job_key(key: &str) -> JobKey {
    JobKey { kind: Probe::KIND, key: key.to_owned() }
}

/// The ended jobs with their outcomes, ordered by name.
pub(crate) async fn ended(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("SELECT key, how FROM ended ORDER BY key, how").fetch_all(pool).await.unwrap()
}

/// A row in the form that tests compare.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) attempt: i32,
    pub(crate) in_doubt: bool,
    pub(crate) last_error: Option<String>,
    /// Seconds from now until it is due.
    pub(crate) due_in: f64,
}

/// The rows that are there, in the order of the names.
pub(crate) async fn rows(pool: &PgPool) -> Vec<Row> {
    sqlx::query_as(
        "SELECT key, state, attempt, in_doubt, last_error,
                extract(epoch FROM due_at - now())::float8 AS due_in
         FROM messaging.job ORDER BY key",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Lets time pass: every held or waiting job is due.
pub(crate) async fn time_passes(pool: &PgPool) {
    pool.execute("UPDATE messaging.job SET due_at = now() - interval '1 second'").await.unwrap();
}
