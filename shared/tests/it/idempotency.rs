//! Answers that are stored under idempotency keys.

use shared::{
    db,
    idempotency::{
        self, AnswerRecord, HttpAnswer, IdempotencyKey, RequestFingerprint, RequestKey, ScopedKey,
    },
};
use sqlx::{Executor as _, PgPool};

use crate::kit;

mod machine;

fn scoped(scope: &str, key: &str) -> ScopedKey {
    ScopedKey { scope: scope.to_owned(), key: IdempotencyKey::parse(key).unwrap() }
}

fn record(key: ScopedKey, body: &str) -> AnswerRecord {
    let fingerprint = RequestFingerprint::of("POST", "/things", &body.into());
    let location = Some("/things/1".to_owned());
    let answer = HttpAnswer { status: 202, location, body: body.to_owned() };
    AnswerRecord { request: RequestKey { key, fingerprint }, answer }
}

async fn keep(pool: &PgPool, records: &[AnswerRecord]) -> Result<(), shared::fault::Fault> {
    let mut tx = db::begin(pool).await.unwrap();
    idempotency::keep(&mut tx, records).await?;
    tx.commit().await.unwrap();
    Ok(())
}

async fn find(pool: &PgPool, key: &ScopedKey) -> Option<HttpAnswer> {
    let conn = &mut *pool.acquire().await.unwrap();
    let found = idempotency::find(conn, std::slice::from_ref(key)).await.unwrap().remove(key);
    found.map(|stored| stored.answer)
}

async fn a_day_passes(pool: &PgPool) {
    pool.execute("UPDATE messaging.idempotency SET expires_at = expires_at - interval '1 day'")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_is_found_as_it_was_kept_and_only_under_its_key_and_scope() {
    let (pool, _) = kit::database().await;
    let kept = record(scoped("alice", "k"), "first");
    keep(&pool, std::slice::from_ref(&kept)).await.unwrap();
    assert_eq!(find(&pool, &kept.request.key).await, Some(kept.answer));
    assert_eq!(find(&pool, &scoped("bob", "k")).await, None);
    assert_eq!(find(&pool, &scoped("alice", "l")).await, None);
}

#[tokio::test]
async fn the_second_answer_under_a_key_collides_and_nothing_of_its_batch_is_kept() {
    let (pool, _) = kit::database().await;
    let first = record(scoped("alice", "k"), "first");
    keep(&pool, std::slice::from_ref(&first)).await.unwrap();
    let batch = [record(scoped("alice", "a"), "new"), record(scoped("alice", "k"), "second")];
    assert!(keep(&pool, &batch).await.unwrap_err().is_collision());
    assert_eq!(find(&pool, &first.request.key).await, Some(first.answer));
    assert_eq!(find(&pool, &batch[0].request.key).await, None);
}

#[tokio::test]
async fn a_key_is_free_again_after_a_day_whether_it_was_purged_or_not() {
    let (pool, _) = kit::database().await;
    let key = scoped("alice", "k");
    keep(&pool, &[record(key.clone(), "old")]).await.unwrap();
    a_day_passes(&pool).await;
    assert_eq!(find(&pool, &key).await, None);
    let new = record(key.clone(), "new");
    keep(&pool, std::slice::from_ref(&new)).await.unwrap();
    assert_eq!(find(&pool, &key).await, Some(new.answer));
}

#[tokio::test]
async fn only_what_has_expired_is_purged_and_no_more_than_asked_for() {
    let (pool, _) = kit::database().await;
    let old: Vec<_> = (0..5).map(|n| record(scoped("old", &n.to_string()), "x")).collect();
    keep(&pool, &old).await.unwrap();
    a_day_passes(&pool).await;
    let young = record(scoped("young", "k"), "x");
    keep(&pool, std::slice::from_ref(&young)).await.unwrap();
    let conn = &mut *pool.acquire().await.unwrap();
    assert_eq!(idempotency::purge(conn, 3).await.unwrap(), 3);
    assert_eq!(idempotency::purge(conn, 3).await.unwrap(), 2);
    assert_eq!(idempotency::purge(conn, 3).await.unwrap(), 0);
    assert_eq!(find(&pool, &young.request.key).await, Some(young.answer));
}
