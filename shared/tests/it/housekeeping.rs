//! Old rows are deleted, young ones stay, and no batch is too large.

use std::time::Duration;

use devstack::TestWait;
use shared::{
    clock::{Clock, first_id_at},
    housekeeping::{HousekeepingSettings, HousekeepingStep, HousekeepingTask},
    inbox,
};
use sqlx::{Executor as _, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kit::database;

/// The nth id of those that were created this long ago.
fn minted(ago: Duration, nth: u128) -> Uuid {
    let first = first_id_at(Clock::System.now() - ago);
    Uuid::from_u128(first.as_u128() + nth)
}

const MINUTES: Duration = Duration::from_mins(5);

fn old(n: u128) -> Vec<Uuid> {
    (0..n).map(|nth| minted(inbox::RETENTION + MINUTES, nth)).collect()
}

fn young(n: u128) -> Vec<Uuid> {
    (0..n).map(|nth| minted(inbox::RETENTION.saturating_sub(MINUTES), nth)).collect()
}

async fn process_batch(pool: &PgPool, ids: &[Uuid]) {
    sqlx::query("INSERT INTO messaging.inbox SELECT id, 0 FROM unnest($1::uuid[]) AS id")
        .bind(ids)
        .execute(pool)
        .await
        .unwrap();
}

async fn known(pool: &PgPool) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT message_id FROM messaging.inbox ORDER BY message_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Stores answers under these keys that expire in this many seconds.
async fn answer(pool: &PgPool, keys: &[&str], seconds: f64) {
    sqlx::query(
        "INSERT INTO messaging.idempotency (scope, key, fingerprint, status, body, expires_at)
         SELECT 'scope', key, '', 200, '', now() + make_interval(secs => $2)
         FROM unnest($1::text[]) AS key",
    )
    .bind(keys)
    .bind(seconds)
    .execute(pool)
    .await
    .unwrap();
}

async fn answered(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT key FROM messaging.idempotency ORDER BY key")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn housekeeping(pool: &PgPool, batch_max: i64) -> HousekeepingTask {
    HousekeepingTask::new(
        pool.clone(),
        HousekeepingSettings { batch_max, ..HousekeepingSettings::default() },
    )
}

#[tokio::test]
async fn ids_that_no_topic_can_bring_again_go_and_younger_ones_stay() {
    let (pool, _) = database().await;
    let young = young(3);
    process_batch(&pool, &old(4)).await;
    process_batch(&pool, &young).await;
    let step = housekeeping(&pool, 100).step().await.unwrap();
    assert_eq!(
        step,
        HousekeepingStep { inbox: 4, idempotency: 0, dead_letters: 0, published: 0, more: false }
    );
    assert_eq!(known(&pool).await, young);
}

#[tokio::test]
async fn answers_that_have_expired_go_and_those_that_count_stay() {
    let (pool, _) = database().await;
    answer(&pool, &["a", "b"], -60.0).await;
    answer(&pool, &["c"], 3_600.0).await;
    let step = housekeeping(&pool, 100).step().await.unwrap();
    assert_eq!(
        step,
        HousekeepingStep { inbox: 0, idempotency: 2, dead_letters: 0, published: 0, more: false }
    );
    assert_eq!(answered(&pool).await, ["c"]);
}

#[tokio::test]
async fn no_batch_is_larger_than_allowed_and_a_full_one_says_that_there_may_be_more() {
    let (pool, _) = database().await;
    process_batch(&pool, &old(5)).await;
    answer(&pool, &["a", "b", "c"], -60.0).await;
    let housekeeping = housekeeping(&pool, 2);
    for expected in [
        HousekeepingStep { inbox: 2, idempotency: 2, dead_letters: 0, published: 0, more: true },
        HousekeepingStep { inbox: 2, idempotency: 1, dead_letters: 0, published: 0, more: true },
        HousekeepingStep { inbox: 1, idempotency: 0, dead_letters: 0, published: 0, more: false },
        HousekeepingStep { inbox: 0, idempotency: 0, dead_letters: 0, published: 0, more: false },
    ] {
        assert_eq!(housekeeping.step().await.unwrap(), expected);
    }
}

/// Stores messages under these ids as published this number of days ago.
async fn publish(pool: &PgPool, ids: &[i64], days: i32) {
    sqlx::query(
        "INSERT INTO messaging.published (outbox_id, message_id, topic, headers, published_at)
         SELECT id, gen_random_uuid(), 'topic', '', now() - make_interval(days => $2)
         FROM unnest($1::int8[]) AS id",
    )
    .bind(ids)
    .bind(days)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn messages_that_were_published_late_do_not_keep_older_ones_of_higher_ids_from_going() {
    let (pool, _) = database().await;
    // The messages of a topic that was held for two days, and at least a batch.
    publish(&pool, &[1, 2], 0).await;
    publish(&pool, &[3, 4, 5, 6, 7], 2).await;
    let housekeeping = housekeeping(&pool, 2);
    for (published, more) in [(2, true), (2, true), (1, false)] {
        let expected =
            HousekeepingStep { inbox: 0, idempotency: 0, dead_letters: 0, published, more };
        assert_eq!(housekeeping.step().await.unwrap(), expected);
    }
    let left: Vec<i64> = sqlx::query_scalar("SELECT outbox_id FROM messaging.published ORDER BY 1")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left, [1, 2]);
}

#[tokio::test]
async fn a_row_that_another_transaction_holds_is_passed_over() {
    let (pool, _) = database().await;
    let old = old(3);
    process_batch(&pool, &old).await;
    let mut other = shared::db::begin(&pool).await.unwrap();
    other
        .execute("SELECT FROM messaging.inbox ORDER BY message_id LIMIT 1 FOR UPDATE")
        .await
        .unwrap();
    assert_eq!(housekeeping(&pool, 100).step().await.unwrap().inbox, 2);
    other.rollback().await.unwrap();
    assert_eq!(known(&pool).await, old[..1]);
}

#[tokio::test]
async fn a_database_that_refuses_ends_nothing_and_the_rest_goes_once_it_is_back() {
    let (pool, _) = database().await;
    let young = young(1);
    process_batch(&pool, &[old(5), young.clone()].concat()).await;
    pool.execute("ALTER TABLE messaging.idempotency RENAME TO away").await.unwrap();
    let housekeeping = housekeeping(&pool, 2);
    assert!(housekeeping.step().await.is_err());
    pool.execute("ALTER TABLE messaging.away RENAME TO idempotency").await.unwrap();

    let stop = CancellationToken::new();
    let rounds = housekeeping.run(stop.clone());
    let watch = async {
        let mut patience = TestWait::until("only the young one is left");
        loop {
            let known = known(&pool).await;
            if known == young {
                break;
            }
            patience.look_again(known.len()).await;
        }
        stop.cancel();
    };
    tokio::join!(rounds, watch).0.unwrap();
}
