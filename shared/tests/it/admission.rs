//! The gate before the batchers, and its watcher of the outbox.

use std::time::Duration;

use futures_util::FutureExt as _;
use shared::{
    admission::{AdmissionGate, AdmissionSettings, BacklogWatcher},
    batcher::{self, BatchHandler, BatcherStep, CommandBatcher, SubmitError},
    db,
    effects::{DecisionEffects, WorkerWakers},
    fault::Fault,
    health::ProcessHealth,
    outbox,
};
use sqlx::{Executor as _, PgConnection, PgPool};

use crate::kit;

fn settings() -> AdmissionSettings {
    AdmissionSettings {
        messages_max: 10,
        age_max: Duration::from_hours(2),
        retry_after: Duration::from_secs(8),
        ..AdmissionSettings::default()
    }
}

fn watcher(pool: &PgPool, health: &ProcessHealth) -> BacklogWatcher {
    BacklogWatcher::new(pool.clone(), settings(), health.component("admission"))
}

async fn say(pool: &PgPool, n: i64) {
    let messages: Vec<_> = (0..n).map(|nth| kit::number("said", "k", nth, nth)).collect();
    let mut tx = db::begin(pool).await.unwrap();
    outbox::append(&mut tx, &messages).await.unwrap();
    tx.commit().await.unwrap();
}

async fn publish(pool: &PgPool, n: i64) {
    sqlx::query(
        "DELETE FROM messaging.outbox WHERE outbox_id IN
             (SELECT outbox_id FROM messaging.outbox ORDER BY outbox_id LIMIT $1)",
    )
    .bind(n)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn the_gate_follows_what_waits_in_the_outbox() {
    let (pool, _) = kit::database().await;
    let health = ProcessHealth::default();
    let watcher = watcher(&pool, &health);
    let gate = watcher.gate();
    say(&pool, 10).await;
    assert_eq!(watcher.step().await.unwrap().messages, 10);
    assert_eq!(gate.refuses(), None);
    say(&pool, 90).await;
    assert_eq!(watcher.step().await.unwrap().messages, 11, "it looks no further than it has to");
    let wait = gate.refuses().unwrap();
    assert!(settings().retry_after / 2 <= wait && wait <= settings().retry_after, "{wait:?}");
    assert!(health.is_ready(), "what reads is answered all the while");
    assert!(health.report()["admission"].clone().unwrap().contains("refused"));
    publish(&pool, 94).await;
    watcher.step().await.unwrap();
    assert!(gate.refuses().is_some(), "more than half of the limit waits");
    publish(&pool, 1).await;
    watcher.step().await.unwrap();
    assert_eq!(gate.refuses(), None);
}

#[tokio::test]
async fn one_message_that_waits_for_too_long_shuts_the_gate() {
    let (pool, _) = kit::database().await;
    let watcher = watcher(&pool, &ProcessHealth::default());
    say(&pool, 1).await;
    pool.execute("UPDATE messaging.outbox SET created_at = now() - interval '121 minutes'")
        .await
        .unwrap();
    assert!(watcher.step().await.unwrap().age >= Duration::from_mins(121));
    assert!(watcher.gate().refuses().is_some());
}

#[tokio::test]
async fn what_waits_for_a_held_topic_counts_and_its_age_does_not() {
    let (pool, _) = kit::database().await;
    let watcher = watcher(&pool, &ProcessHealth::default());
    say(&pool, 10).await;
    pool.execute("UPDATE messaging.outbox SET created_at = now() - interval '121 minutes'")
        .await
        .unwrap();
    let hold = "INSERT INTO messaging.held_topic (topic, retry_at, attempts, code, detail)
                VALUES ('said', now(), 1, 'TopicAuthorizationFailed', 'not allowed')";
    pool.execute(hold).await.unwrap();
    let backlog = watcher.step().await.unwrap();
    assert_eq!((backlog.messages, backlog.age), (10, Duration::ZERO));
    assert_eq!(watcher.gate().refuses(), None);
    say(&pool, 1).await;
    watcher.step().await.unwrap();
    assert!(watcher.gate().refuses().is_some(), "as many as that may not wait for anything");
    pool.execute("DELETE FROM messaging.held_topic").await.unwrap();
    assert!(watcher.step().await.unwrap().age >= Duration::from_mins(121));
}

#[tokio::test]
async fn a_database_that_cannot_be_asked_leaves_the_gate_as_it_is() {
    let (pool, _) = kit::database().await;
    let watcher = watcher(&pool, &ProcessHealth::default());
    say(&pool, 11).await;
    watcher.step().await.unwrap();
    pool.execute("ALTER TABLE messaging.outbox RENAME TO away").await.unwrap();
    assert!(watcher.step().await.is_err());
    assert!(watcher.gate().refuses().is_some());
}

#[derive(Clone, Debug)]
struct Anything;

impl BatchHandler for Anything {
    type Command = ();
    type Answer = ();

    async fn handle_batch(
        &self,
        _conn: &mut PgConnection,
        commands: &[()],
    ) -> Result<(Vec<()>, DecisionEffects), Fault> {
        Ok((commands.to_vec(), DecisionEffects::default()))
    }
}

#[tokio::test]
async fn a_batcher_refuses_at_once_while_its_gate_is_shut() {
    let (pool, _) = kit::database().await;
    let watcher = watcher(&pool, &ProcessHealth::default());
    let parts = batcher::BatcherParts {
        name: "test",
        batch: Anything,
        pool: pool.clone(),
        wakers: WorkerWakers::default(),
        gate: watcher.gate(),
    };
    let patient = batcher::BatcherSettings {
        transaction_limit: kit::PATIENCE,
        ..batcher::BatcherSettings::default()
    };
    let (batcher, mut worker) = CommandBatcher::new(parts, patient);
    say(&pool, 11).await;
    watcher.step().await.unwrap();
    let refused = batcher.submit(()).now_or_never();
    assert!(matches!(refused, Some(Err(SubmitError::Overloaded { .. }))), "{refused:?}");
    assert_eq!(batcher.depth(), 0);
    publish(&pool, 11).await;
    watcher.step().await.unwrap();
    let (answer, step) = tokio::join!(batcher.submit(()), worker.step());
    assert_eq!((answer, step), (Ok(()), BatcherStep::Answered(1)));
    assert_eq!(AdmissionGate::default().refuses(), None);
}
