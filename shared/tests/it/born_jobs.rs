//! Jobs that are born claimed: handed to a worker of this process by the transaction that stores
//! them.

use std::{sync::Arc, time::Duration};

use devstack::until;
use shared::{
    db,
    effects::{DecisionEffects, SavedEffects, WorkerWakers},
    jobs::{self, JobPolicy, JobWorker, LeaseTimes, NewJob, StopGrace, WorkerStep},
};
use sqlx::{Executor as _, PgPool};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    kit::PATIENCE,
    probe::{
        Act, Probe, append, database, ended, job, job_key, policy, rows, time_passes, worker,
        worker_of,
    },
};

/// A worker, and those who hand jobs to it.
struct Stage {
    pool: PgPool,
    probe: Probe,
    wakers: WorkerWakers,
}

impl Stage {
    async fn open() -> Self {
        let (pool, probe) = (database().await, Probe::default());
        Self { pool, probe, wakers: WorkerWakers::default() }
    }

    /// A worker with this number of slots that has looked at the table, and found nothing.
    async fn worker(&self, slots: usize) -> JobWorker<Probe> {
        let policy = JobPolicy { concurrency_max: slots, ..policy() };
        let mut worker = worker_of(&self.pool, &self.probe, policy, &self.wakers);
        assert_eq!(worker.step().await.unwrap(), WorkerStep::default());
        worker
    }

    /// Decides that these jobs are to be done.
    async fn decide(&self, keys: &[&str]) {
        self.save(jobs_of(keys)).await;
    }

    async fn save(&self, effects: DecisionEffects) {
        let (tx, saved) = self.begin(effects).await;
        tx.commit().await.unwrap();
        self.wakers.after_commit(saved);
    }

    /// The transaction of a decision before its commit.
    async fn begin(&self, effects: DecisionEffects) -> (db::DatabaseTransaction, SavedEffects) {
        let mut tx = db::begin(&self.pool).await.unwrap();
        let saved = effects.save(&mut tx, &self.wakers).await.unwrap();
        (tx, saved)
    }

    /// State and attempt of each row.
    async fn rows(&self) -> Vec<(String, String, i32)> {
        let rows = rows(&self.pool).await;
        rows.into_iter().map(|row| (row.key, row.state, row.attempt)).collect()
    }

    /// Number of the attempt and whether earlier ones are in doubt, of each attempt.
    fn attempts(&self) -> Vec<(String, i32, bool)> {
        let attempts = self.probe.attempts();
        attempts.into_iter().map(|job| (job.key, job.attempt, job.in_doubt)).collect()
    }
}

fn jobs_of(keys: &[&str]) -> DecisionEffects {
    let jobs: Vec<NewJob> = keys.iter().map(|key| job(key)).collect();
    DecisionEffects { jobs, ..DecisionEffects::default() }
}

fn row(key: &str, state: &str, attempt: i32) -> (String, String, i32) {
    (key.to_owned(), state.to_owned(), attempt)
}

fn attempt(key: &str, number: i32, in_doubt: bool) -> (String, i32, bool) {
    (key.to_owned(), number, in_doubt)
}

#[tokio::test]
async fn a_job_is_stored_with_its_attempt_counted_and_begins_after_the_commit() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(4).await;
    let (tx, saved) = stage.begin(jobs_of(&["a"])).await;
    assert_eq!(worker.step().await.unwrap(), WorkerStep::default(), "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(stage.rows().await, [row("a", "performing", 1)]);
    assert_eq!(worker.step().await.unwrap(), WorkerStep::default(), "the lease holds");
    stage.wakers.after_commit(saved);
    let step = worker.step().await.unwrap();
    assert_eq!(step, WorkerStep { handed: 1, done: 1, ..WorkerStep::default() });
    assert_eq!(stage.attempts(), [attempt("a", 1, false)]);
    assert_eq!(stage.probe.attempts()[0].payload, job("a").payload);
    assert_eq!(stage.rows().await, []);
}

/// How often statements on the jobs that begin so were executed.
async fn calls(pool: &PgPool, words: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(calls), 0)::int8 FROM pg_stat_statements
         JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = current_database() AND query LIKE '%messaging.job%' AND query LIKE $1
           AND query NOT LIKE '%pg_stat_statements%'",
    )
    .bind(format!("%{words}%"))
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_job_that_is_born_claimed_and_done_costs_one_insert_and_one_delete() {
    let stage = Stage::open().await;
    stage.pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let patient = JobPolicy { poll: PATIENCE, ..policy() };
    let mut worker = worker_of(&stage.pool, &stage.probe, patient, &stage.wakers);
    worker.step().await.unwrap();
    let stop = CancellationToken::new();
    let deciding = async {
        // The loop looks at the table before it does its first job.
        stage.decide(&["first"]).await;
        until("it is settled", async || ended(&stage.pool).await.len() == 1).await;
        let reset = "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database
                     WHERE datname = current_database()";
        stage.pool.execute(reset).await.unwrap();
        for nth in 1..=20_usize {
            stage.decide(&[&format!("job {nth}")]).await;
            let settled = || stage.probe.settles().iter().sum::<usize>();
            until("it is settled", async || settled() == nth + 1).await;
        }
        stop.cancel();
    };
    tokio::join!(worker.run(stop.clone()), deciding).0.unwrap();
    let (all, inserts) = (calls(&stage.pool, "").await, calls(&stage.pool, "INSERT").await);
    let deletes = calls(&stage.pool, "DELETE FROM messaging.job").await;
    assert_eq!((all, inserts, deletes), (40, 20, 20));
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_begins_nothing_and_frees_its_slots() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(2).await;
    let (tx, saved) = stage.begin(jobs_of(&["a", "b"])).await;
    stage.decide(&["c"]).await;
    assert_eq!(stage.rows().await, [row("c", "waiting", 0)], "no slot was left");
    tx.rollback().await.unwrap();
    drop(saved);
    assert_eq!(worker.step().await.unwrap().claimed, 1);
    stage.decide(&["d", "e"]).await;
    assert_eq!(worker.step().await.unwrap().handed, 2);
    assert_eq!(stage.attempts().len(), 3);
}

#[tokio::test]
async fn a_job_whose_commit_nobody_knows_of_is_found_by_its_lease_and_in_doubt() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(2).await;
    let (tx, saved) = stage.begin(jobs_of(&["a"])).await;
    tx.commit().await.unwrap();
    drop(saved);
    assert_eq!(worker.step().await.unwrap(), WorkerStep::default());
    time_passes(&stage.pool).await;
    assert_eq!(worker.step().await.unwrap().done, 1);
    assert_eq!(stage.attempts(), [attempt("a", 2, true)]);
}

#[tokio::test]
async fn what_waits_in_the_table_comes_before_new_jobs() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(2).await;
    stage.decide(&["1", "2", "3", "4", "5"]).await;
    let born = [row("1", "performing", 1), row("2", "performing", 1)];
    assert_eq!(stage.rows().await[..2], born);
    assert_eq!(stage.rows().await[2..], ["3", "4", "5"].map(|key| row(key, "waiting", 0)));
    let first = worker.step().await.unwrap();
    assert_eq!((first.handed, first.claimed), (2, 0), "there are two slots");
    stage.decide(&["6"]).await;
    let second = worker.step().await.unwrap();
    assert_eq!((second.handed, second.claimed), (0, 2), "a look found no slot: the table is first");
    stage.decide(&["7"]).await;
    assert_eq!(worker.step().await.unwrap().claimed, 2, "a look filled its slots: there is more");
    assert_eq!(worker.step().await.unwrap().claimed, 1, "the last one");
    let order: Vec<String> = stage.probe.attempts().into_iter().map(|job| job.key).collect();
    assert_eq!(order, ["1", "2", "3", "4", "5", "6", "7"]);
    stage.decide(&["8"]).await;
    assert_eq!(worker.step().await.unwrap().handed, 1, "nothing waits any more");
}

#[tokio::test]
async fn a_worker_takes_no_job_before_it_has_looked_at_the_table() {
    let stage = Stage::open().await;
    let mut worker = worker_of(&stage.pool, &stage.probe, policy(), &stage.wakers);
    stage.decide(&["a"]).await;
    assert_eq!(stage.rows().await, [row("a", "waiting", 0)]);
    assert_eq!(worker.step().await.unwrap().claimed, 1);
}

#[tokio::test]
async fn a_handler_without_room_has_its_jobs_wait_without_an_attempt() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(2).await;
    // As a circuit breaker: no call, or one trial call.
    for room in [0, 1] {
        stage.probe.restrict(room);
        stage.decide(&[&format!("room {room}")]).await;
    }
    assert_eq!(stage.rows().await, [row("room 0", "waiting", 0), row("room 1", "waiting", 0)]);
    assert_eq!(worker.step().await.unwrap().claimed, 1);
}

#[tokio::test]
async fn a_job_that_exists_is_not_handed_over() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(4).await;
    let gate = Arc::new(Semaphore::new(0));
    stage.probe.plan("a", [Act::GateThenRefused(Arc::clone(&gate))]);
    stage.decide(&["a"]).await;
    let meanwhile = async {
        until("the attempt has begun", async || !stage.probe.attempts().is_empty()).await;
        stage.decide(&["a"]).await;
        let stopped = vec![job_key("a")];
        stage.save(DecisionEffects { stopped, ..DecisionEffects::default() }).await;
        // Wanted again: the attempt goes on, and fails.
        stage.decide(&["a", "b"]).await;
        gate.add_permits(1);
    };
    let (first, ()) = tokio::join!(worker.step(), meanwhile);
    assert_eq!(first.unwrap().again, 1);
    // It may have begun while that failure was settled.
    assert_eq!(worker.step().await.unwrap().done, 1, "only the other one");
    assert_eq!(stage.attempts(), [attempt("a", 1, false), attempt("b", 1, false)]);
    assert_eq!(stage.rows().await, [row("a", "waiting", 1)]);
    // The slots that were reserved for it are free.
    stage.decide(&["c", "d", "e", "f"]).await;
    assert_eq!(worker.step().await.unwrap().handed, 4);
}

#[tokio::test]
async fn a_job_that_takes_the_place_of_a_given_up_one_is_born_claimed() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(4).await;
    append(&stage.pool, &["a"]).await;
    stage.pool.execute("UPDATE messaging.job SET state = 'dead', attempt = 7").await.unwrap();
    let mut effects = DecisionEffects::default();
    effects.stop(job_key("a"));
    effects.jobs.push(job("a"));
    stage.save(effects).await;
    assert_eq!(worker.step().await.unwrap().handed, 1);
    assert_eq!(stage.attempts(), [attempt("a", 1, false)]);
}

#[tokio::test]
async fn a_job_that_is_born_claimed_counts_as_tried() {
    let stage = Stage::open().await;
    let _worker = stage.worker(4).await;
    stage.decide(&["a"]).await;
    let conn = &mut *stage.pool.acquire().await.unwrap();
    let untouched = jobs::lock_untouched(conn, "probe", &["a".to_owned()]).await.unwrap();
    assert_eq!(untouched, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_the_outcome_of_another_asks_for_is_born_claimed() {
    let stage = Stage::open().await;
    let mut worker = stage.worker(4).await;
    stage.probe.follow("a", job("b"));
    stage.decide(&["a"]).await;
    for _job in 0..2 {
        let step = worker.step().await.unwrap();
        assert_eq!(step, WorkerStep { handed: 1, done: 1, ..WorkerStep::default() });
    }
    assert_eq!(stage.attempts(), [attempt("a", 1, false), attempt("b", 1, false)]);
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_has_not_begun() {
    let stage = Stage::open().await;
    let grace = StopGrace { attempts: PATIENCE, in_all: PATIENCE };
    let worker = stage.worker(4).await.stopping_within(grace);
    stage.decide(&["early", "stopped"]).await;
    let stopped = vec![job_key("stopped")];
    stage.save(DecisionEffects { stopped, ..DecisionEffects::default() }).await;
    let (tx, late) = stage.begin(jobs_of(&["late"])).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let meanwhile = async {
        let waits = async || {
            stage.decide(&["after"]).await;
            stage.rows().await.contains(&row("after", "waiting", 0))
        };
        until("the worker takes no more", waits).await;
        tx.commit().await.unwrap();
        stage.wakers.after_commit(late);
    };
    tokio::join!(worker.run(stop), meanwhile).0.unwrap();
    assert_eq!(stage.rows().await, ["after", "early", "late"].map(|key| row(key, "waiting", 0)));
    let mut other = worker_of(&stage.pool, &stage.probe, policy(), &WorkerWakers::default());
    assert_eq!(other.step().await.unwrap().done, 3);
    assert!(
        stage.attempts().iter().all(|(_, number, in_doubt)| (*number, *in_doubt) == (1, false))
    );
    assert_eq!(ended(&stage.pool).await.len(), 3);
}

#[tokio::test]
async fn a_job_that_is_handed_over_late_is_given_back_and_not_begun() {
    let stage = Stage::open().await;
    // The lease has run out by the time the job is received.
    let short = LeaseTimes { longest: Duration::ZERO, ..LeaseTimes::default() };
    let mut late = stage.worker(2).await.with_leases(short);
    let (tx, saved) = stage.begin(jobs_of(&["a", "b"])).await;
    tx.commit().await.unwrap();
    let mut other = worker(&stage.pool, &stage.probe, JobPolicy { concurrency_max: 1, ..policy() });
    assert_eq!(other.step().await.unwrap().claimed, 1);
    stage.wakers.after_commit(saved);
    assert_eq!(late.step().await.unwrap().handed, 2);
    assert_eq!(stage.attempts().len(), 1, "only that of the other worker");
    let left = stage.rows().await;
    assert_eq!((left.len(), &*left[0].1, left[0].2), (1, "waiting", 0));
    assert_eq!(late.step().await.unwrap().claimed, 1);
}

#[tokio::test]
async fn what_was_handed_to_a_worker_that_died_is_attempted_again_and_in_doubt() {
    let stage = Stage::open().await;
    let dying = stage.worker(2).await;
    stage.decide(&["a"]).await;
    drop(dying);
    stage.decide(&["b"]).await;
    let mut other = worker(&stage.pool, &stage.probe, policy());
    assert_eq!(other.step().await.unwrap().claimed, 1, "the other one: the lease holds");
    time_passes(&stage.pool).await;
    assert_eq!(other.step().await.unwrap().done, 1);
    assert_eq!(stage.attempts(), [attempt("b", 1, false), attempt("a", 2, true)]);
}

#[tokio::test]
async fn a_job_that_is_handed_over_while_outcomes_are_settled_begins_at_once() {
    let stage = Stage::open().await;
    // The loop begins with a look, which takes one of two slots, and does not look again here.
    let policy = JobPolicy { concurrency_max: 2, poll: PATIENCE, ..policy() };
    let mut worker = worker_of(&stage.pool, &stage.probe, policy, &stage.wakers);
    worker.step().await.unwrap();
    let mut blocking = db::begin(&stage.pool).await.unwrap();
    blocking.execute("LOCK TABLE ended").await.unwrap();
    let stop = CancellationToken::new();
    let meanwhile = async {
        stage.decide(&["a"]).await;
        until("the outcome is being settled", async || stage.probe.settles() == [1]).await;
        // An outcome takes no slot: both fit while it is settled.
        stage.decide(&["b", "c"]).await;
        until("the others have begun", async || stage.probe.attempts().len() == 3).await;
        blocking.rollback().await.unwrap();
        until("all is settled", async || ended(&stage.pool).await.len() == 3).await;
        stop.cancel();
    };
    tokio::join!(worker.run(stop.clone()), meanwhile).0.unwrap();
}

#[tokio::test]
async fn a_job_in_the_table_is_done_while_new_jobs_take_all_slots() {
    let stage = Stage::open().await;
    let worker = stage.worker(1).await;
    append(&stage.pool, &["old"]).await;
    let stop = CancellationToken::new();
    let meanwhile = async {
        let mut nth = 0;
        let is_done = async || {
            nth += 1;
            stage.decide(&[&format!("new {nth}")]).await;
            ended(&stage.pool).await.iter().any(|(key, _)| key == "old")
        };
        until("the old one is done", is_done).await;
        stop.cancel();
    };
    tokio::join!(worker.run(stop.clone()), meanwhile).0.unwrap();
}
