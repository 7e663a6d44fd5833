//! The batcher: many callers, few transactions.

use std::{convert::Infallible, sync::Arc, time::Duration};

use devstack::until;
use futures_util::{FutureExt as _, future::join_all};
use shared::{
    admission::AdmissionGate,
    batcher::{
        BatchHandler, BatchWorker, BatcherParts, BatcherSettings, BatcherStep, CommandBatcher,
        SubmitError,
    },
    db,
    effects::{DecisionEffects, MetricUpdate, WorkerWakers},
    fault::Fault,
    idempotency::{
        self, AnswerRecord, HttpAnswer, IdempotencyKey, IdempotentAnswer, IdempotentBatch,
        RequestFingerprint, RequestKey, ScopedKey,
    },
};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::kit::{self, PATIENCE};

/// Writes a row per command into a table. A command `panic` panics, `clash` violates a constraint,
/// and a command `lock <key>` needs a row that another transaction may hold.
#[derive(Clone, Debug)]
struct Ledger;

impl BatchHandler for Ledger {
    type Command = String;
    type Answer = String;

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[String],
    ) -> Result<(Vec<String>, DecisionEffects), Fault> {
        assert!(!commands.iter().any(|text| text == "panic"), "the command panics");
        let locks: Vec<_> = commands.iter().filter_map(|text| text.strip_prefix("lock ")).collect();
        sqlx::query("SELECT FROM latch WHERE key = ANY ($1) FOR UPDATE")
            .bind(locks)
            .execute(&mut *conn)
            .await?;
        sqlx::query("INSERT INTO ledger (line) SELECT * FROM unnest($1::text[])")
            .bind(commands)
            .execute(&mut *conn)
            .await?;
        let answers = commands.iter().map(|text| format!("took {text}")).collect();
        let metrics = vec![MetricUpdate::count("ledger_lines_total", &[]); commands.len()];
        Ok((answers, DecisionEffects { metrics, ..DecisionEffects::default() }))
    }
}

pub(crate) async fn database() -> PgPool {
    let (pool, _) = kit::database().await;
    pool.execute(sqlx::raw_sql(
        "CREATE TABLE ledger (line text NOT NULL CHECK (line <> 'clash'),
                              transaction text NOT NULL DEFAULT pg_current_xact_id()::text);
         CREATE TABLE latch (key text PRIMARY KEY);
         INSERT INTO latch VALUES ('a'), ('b')",
    ))
    .await
    .unwrap();
    pool
}

/// Time limits for tests, except for a row that another transaction holds.
fn settings() -> BatcherSettings {
    let lock_limit = Duration::from_millis(200);
    let (transaction_limit, stop_limit) = (PATIENCE, PATIENCE);
    BatcherSettings {
        queue_max: 100,
        transaction_limit,
        lock_limit,
        stop_limit,
        ..BatcherSettings::default()
    }
}

fn make<B: BatchHandler>(
    pool: &PgPool,
    batch: B,
    settings: BatcherSettings,
) -> (CommandBatcher<B>, BatchWorker<B>) {
    let (pool, wakers, gate) = (pool.clone(), WorkerWakers::default(), AdmissionGate::default());
    let parts = BatcherParts { name: "test", batch, pool, wakers, gate };
    CommandBatcher::new(parts, settings)
}

async fn lines(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT line FROM ledger ORDER BY line").fetch_all(pool).await.unwrap()
}

/// Submits these commands together and takes one step.
pub(crate) async fn together(pool: &PgPool, commands: &[&str]) -> Vec<Result<String, SubmitError>> {
    let (batcher, mut worker) = make(pool, Ledger, settings());
    let answers = join_all(commands.iter().map(|command| batcher.submit((*command).to_owned())));
    let (answers, step) = tokio::join!(answers, worker.step());
    assert_eq!(step, BatcherStep::Answered(commands.len()));
    answers
}

#[tokio::test]
async fn commands_that_come_together_share_a_transaction() {
    let pool = database().await;
    let answers = together(&pool, &["a", "b", "c"]).await;
    assert_eq!(answers, ["a", "b", "c"].map(|text| Ok(format!("took {text}"))));
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT transaction) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(transactions, 1);
}

#[tokio::test]
async fn a_command_that_fails_takes_no_other_with_it() {
    for culprit in ["clash", "panic"] {
        let pool = database().await;
        let answers = together(&pool, &["a", culprit, "b"]).await;
        assert_eq!(answers[0], Ok("took a".to_owned()));
        assert_eq!(answers[1], Err(SubmitError::Failed));
        assert_eq!(answers[2], Ok("took b".to_owned()));
        assert_eq!(lines(&pool).await, ["a", "b"]);
    }
}

#[tokio::test]
async fn a_command_whose_row_is_held_is_busy_and_the_others_are_processed() {
    let pool = database().await;
    let mut holder = db::begin(&pool).await.unwrap();
    holder.execute("SELECT FROM latch WHERE key = 'a' FOR UPDATE").await.unwrap();
    let answers = together(&pool, &["lock a", "lock b", "free"]).await;
    assert_eq!(answers[0], Err(SubmitError::Busy));
    assert_eq!(answers[1], Ok("took lock b".to_owned()));
    assert_eq!(lines(&pool).await, ["free", "lock b"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_undo_its_command() {
    let pool = database().await;
    let (batcher, mut worker) = make(&pool, Ledger, settings());
    assert_eq!(batcher.submit("orphan".to_owned()).now_or_never(), None);
    assert_eq!(worker.step().await, BatcherStep::Answered(1));
    assert_eq!(lines(&pool).await, ["orphan"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let pool = database().await;
    let (batcher, mut worker) = make(&pool, Ledger, BatcherSettings { queue_max: 2, ..settings() });
    let waiting = [batcher.submit("a".to_owned()), batcher.submit("b".to_owned())];
    let mut waiting = waiting.map(Box::pin);
    for waits in &mut waiting {
        assert_eq!(waits.as_mut().now_or_never(), None);
    }
    assert_eq!(batcher.depth(), 2);
    assert_eq!(batcher.submit("c".to_owned()).now_or_never(), Some(Err(SubmitError::Full)));
    worker.step().await;
    assert_eq!(join_all(waiting).await, [Ok("took a".to_owned()), Ok("took b".to_owned())]);
    assert_eq!(lines(&pool).await, ["a", "b"]);
}

#[tokio::test]
async fn a_queue_that_was_full_lets_in_again_when_half_of_it_is_free() {
    let pool = database().await;
    let settings = BatcherSettings { queue_max: 4, batch_max: 1, ..settings() };
    let (batcher, mut worker) = make(&pool, Ledger, settings);
    let mut waiting: Vec<_> =
        ["a", "b", "c", "d"].map(|text| Box::pin(batcher.submit(text.to_owned()))).into();
    for waits in &mut waiting {
        assert_eq!(waits.as_mut().now_or_never(), None);
    }
    assert_eq!(batcher.submit("e".to_owned()).now_or_never(), Some(Err(SubmitError::Full)));
    worker.step().await;
    assert_eq!(batcher.depth(), 3, "there is room");
    assert_eq!(batcher.submit("f".to_owned()).now_or_never(), Some(Err(SubmitError::Full)));
    worker.step().await;
    assert_eq!(batcher.submit("g".to_owned()).now_or_never(), None, "half of it is free");
}

#[tokio::test]
async fn no_transaction_processes_more_than_a_batch() {
    let pool = database().await;
    let (batcher, mut worker) = make(&pool, Ledger, BatcherSettings { batch_max: 2, ..settings() });
    let answers = join_all(["a", "b", "c"].map(|text| batcher.submit(text.to_owned())));
    let steps = async { [worker.step().await, worker.step().await] };
    let (answers, steps) = tokio::join!(answers, steps);
    assert_eq!(steps, [BatcherStep::Answered(2), BatcherStep::Answered(1)]);
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_to_all() {
    let pool = database().await;
    pool.close().await;
    let answers = together(&pool, &["a", "b"]).await;
    assert_eq!(answers, [Err(SubmitError::Unavailable), Err(SubmitError::Unavailable)]);
}

#[tokio::test]
async fn a_batcher_that_stops_processes_what_waits_and_refuses_what_is_new() {
    let pool = database().await;
    let (batcher, worker) = make(&pool, Ledger, settings());
    let stop = CancellationToken::new();
    let mut waits = Box::pin(batcher.submit("a".to_owned()));
    assert_eq!(waits.as_mut().now_or_never(), None);
    stop.cancel();
    worker.run(stop).await.unwrap();
    assert_eq!(waits.await, Ok("took a".to_owned()));
    assert_eq!(batcher.submit("b".to_owned()).await, Err(SubmitError::Stopping));
    assert_eq!(lines(&pool).await, ["a"]);
}

#[tokio::test]
async fn a_batcher_whose_worker_died_does_not_leave_its_callers_waiting() {
    let pool = database().await;
    let (batcher, worker) = make(&pool, Ledger, settings());
    let mut waits = Box::pin(batcher.submit("a".to_owned()));
    assert_eq!(waits.as_mut().now_or_never(), None);
    drop(worker);
    assert_eq!(waits.await, Err(SubmitError::Unavailable));
}

/// Processes commands under keys, as a service does: each key once, the same answer to all.
#[derive(Clone, Debug)]
struct Keyed;

impl BatchHandler for Keyed {
    type Command = RequestKey;
    type Answer = IdempotentAnswer<Infallible>;

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[RequestKey],
    ) -> Result<(Vec<Self::Answer>, DecisionEffects), Fault> {
        let batch = IdempotentBatch::look_up(conn, commands.iter().map(Some)).await?;
        let mut answers = Vec::new();
        for _new in batch.unanswered() {
            let body = format!("effect {:016x}", fastrand::u64(..));
            sqlx::query("INSERT INTO ledger (line) VALUES ($1)")
                .bind(&body)
                .execute(&mut *conn)
                .await?;
            answers.push(Ok(HttpAnswer { status: 202, location: None, body }));
        }
        Ok((batch.answer(conn, answers).await?, DecisionEffects::default()))
    }
}

fn body(answered: Result<IdempotentAnswer<Infallible>, SubmitError>) -> String {
    match answered {
        Ok(IdempotentAnswer::Accepted { answer, .. }) => answer.body,
        other => panic!("{other:?}"),
    }
}

fn keyed(key: &str, body: u8) -> RequestKey {
    let key =
        ScopedKey { scope: "POST /lines".to_owned(), key: IdempotencyKey::parse(key).unwrap() };
    RequestKey { key, fingerprint: RequestFingerprint::of("POST", "/lines", &body.into()) }
}

#[tokio::test]
async fn fifty_at_once_under_one_key_have_one_effect_and_one_answer() {
    let pool = database().await;
    // Two processes, each with its own batcher, and small batches so that they interleave.
    let few = BatcherSettings { batch_max: 5, lock_limit: PATIENCE, ..settings() };
    let (one, mut its_worker) = make(&pool, Keyed, few);
    let (other, mut others_worker) = make(&pool, Keyed, few);
    let answers = join_all((0..50).map(|n| {
        let batcher = if n % 2 == 0 { &one } else { &other };
        batcher.submit(keyed("same", 1))
    }));
    let work = async |worker: &mut BatchWorker<Keyed>| {
        for _ in 0..5 {
            worker.step().await;
        }
    };
    let (answers, (), ()) = tokio::join!(answers, work(&mut its_worker), work(&mut others_worker));
    let lines = lines(&pool).await;
    assert_eq!(lines.len(), 1);
    assert!(answers.into_iter().all(|answered| body(answered) == lines[0]));
}

#[tokio::test]
async fn a_key_that_another_process_is_using_is_waited_for_and_its_answer_found() {
    let pool = database().await;
    let patient = BatcherSettings { lock_limit: PATIENCE, ..settings() };
    let (batcher, mut worker) = make(&pool, Keyed, patient);
    let request = keyed("shared", 1);
    let answer = HttpAnswer { status: 202, location: None, body: "theirs".to_owned() };
    let mut theirs = db::begin(&pool).await.unwrap();
    idempotency::keep(&mut theirs, &[AnswerRecord { request, answer }]).await.unwrap();
    let they_commit = async {
        until_somebody_waits(&pool).await;
        theirs.commit().await.unwrap();
    };
    let ours = async {
        let (answer, _) = tokio::join!(batcher.submit(keyed("shared", 1)), worker.step());
        answer
    };
    assert_eq!(body(tokio::join!(ours, they_commit).0), "theirs");
    assert_eq!(lines(&pool).await, Vec::<String>::new(), "our effect was undone");
}

#[tokio::test]
async fn a_key_that_is_used_for_too_long_by_another_process_is_busy() {
    let pool = database().await;
    let (batcher, mut worker) = make(&pool, Keyed, settings());
    let request = keyed("shared", 1);
    let answer = HttpAnswer { status: 202, location: None, body: "theirs".to_owned() };
    let mut theirs = db::begin(&pool).await.unwrap();
    idempotency::keep(&mut theirs, &[AnswerRecord { request, answer }]).await.unwrap();
    let (ours, step) = tokio::join!(batcher.submit(keyed("shared", 1)), worker.step());
    assert_eq!((ours, step), (Err(SubmitError::Busy), BatcherStep::Answered(1)));
}

async fn until_somebody_waits(pool: &PgPool) {
    until("somebody waits for a lock", async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT count(*) > 0 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await
        .unwrap()
    })
    .await;
}

#[tokio::test]
async fn the_workers_are_woken_after_a_commit() {
    let pool = database().await;
    let wakers = WorkerWakers::default();
    let gate = AdmissionGate::default();
    let parts = BatcherParts {
        name: "test",
        batch: Speaker,
        pool: pool.clone(),
        wakers: wakers.clone(),
        gate,
    };
    let (batcher, mut worker) = CommandBatcher::new(parts, settings());
    let relay = Arc::clone(&wakers.relay);
    let woken = relay.notified();
    let (answer, _) = tokio::join!(batcher.submit(()), worker.step());
    answer.unwrap();
    tokio::time::timeout(PATIENCE, woken).await.unwrap();
}

/// Publishes one message per command.
#[derive(Clone, Debug)]
struct Speaker;

impl BatchHandler for Speaker {
    type Command = ();
    type Answer = ();

    async fn handle_batch(
        &self,
        _conn: &mut PgConnection,
        commands: &[()],
    ) -> Result<(Vec<()>, DecisionEffects), Fault> {
        let messages = commands.iter().map(|()| kit::number("said", "k", 1, 1)).collect();
        Ok((commands.to_vec(), DecisionEffects { messages, ..DecisionEffects::default() }))
    }
}

/// Never ends, like a database that does not answer.
struct Stuck;

impl BatchHandler for Stuck {
    type Command = ();
    type Answer = ();

    async fn handle_batch(
        &self,
        _conn: &mut PgConnection,
        _commands: &[()],
    ) -> Result<(Vec<()>, DecisionEffects), Fault> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_database_that_never_answers() {
    let (pool, _) = kit::database().await;
    let (transaction_limit, stop_limit) = (Duration::from_hours(1), Duration::from_millis(100));
    let settings = BatcherSettings { transaction_limit, stop_limit, ..settings() };
    let (batcher, worker) = make(&pool, Stuck, settings);
    let stop = CancellationToken::new();
    stop.cancel();
    let both = async { tokio::join!(batcher.submit(()), worker.run(stop)) };
    let (answer, _) = tokio::time::timeout(PATIENCE, both).await.expect("it ends");
    assert_eq!(answer, Err(SubmitError::Unavailable), "nobody knows");
}
