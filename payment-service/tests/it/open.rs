//! The count of open payments costs what is open.

use payment_service::{MIGRATIONS, OpenPayments};
use secrecy::SecretString;
use shared::{db, sampled_metrics::SamplerLoop};
use sqlx::{Executor as _, PgPool};

use crate::kit::PATIENCE;

/// Few payments that ended, and many.
const ENDED: [i64; 2] = [1_000, 100_000];

async fn database() -> PgPool {
    let url = devstack::database("payments").await;
    let settings = db::DatabaseSettings::new(SecretString::from(url)).patient(PATIENCE);
    let pool = db::pool(&settings, "test").unwrap();
    db::migrate(&pool, &MIGRATIONS).await.unwrap();
    pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    pool
}

/// Payments that went through two open stages an hour ago, and two that stand there.
async fn plant(pool: &PgPool, ended: i64) {
    sqlx::query(
        "INSERT INTO payments (order_id, stage, said, version, created_at, updated_at)
         SELECT gen_random_uuid(), 'awaiting-order', 1, 1, now(),
                now() - CASE WHEN n > $1 THEN interval '90 s' ELSE interval '1 h' END
         FROM generate_series(1, $1 + 2) AS n",
    )
    .bind(ended)
    .execute(pool)
    .await
    .unwrap();
    for (before, after) in [("awaiting-order", "charging"), ("charging", "abandoned")] {
        sqlx::query(
            "UPDATE payments SET stage = $2, amount_minor = 1, currency = 'EUR', method = 'm'
             WHERE stage = $1 AND updated_at < now() - interval '30 min'",
        )
        .bind(before)
        .bind(after)
        .execute(pool)
        .await
        .unwrap();
    }
}

/// The pages that a sample reads, once the sampler has seen these tables before.
async fn pages(ended: i64) -> i64 {
    let pool = database().await;
    let mut reader = db::begin(&pool).await.unwrap();
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    reader.execute("SELECT 1").await.unwrap();
    plant(&pool, ended).await;
    let sampler = SamplerLoop::new(pool.clone(), OpenPayments::default());
    assert!(sampler.step().await);
    pool.execute(
        "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database
         WHERE datname = current_database()",
    )
    .await
    .unwrap();
    assert!(sampler.step().await);
    let pages = sqlx::query_scalar(
        "SELECT sum(shared_blks_hit + shared_blks_read)::int8 FROM pg_stat_statements
         JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = current_database() AND query LIKE '%AS standing%'
           AND query NOT LIKE '%blks_hit%'",
    );
    let pages: i64 = pages.fetch_one(&pool).await.unwrap();
    reader.rollback().await.unwrap();
    pages
}

#[tokio::test]
async fn a_sample_costs_what_is_open_and_not_what_has_ended() {
    let [few, many] = [pages(ENDED[0]).await, pages(ENDED[1]).await];
    assert!(few > 0);
    assert!(many <= few * 3 / 2 + 20, "{few} pages beside few that have ended, {many} beside many");
}
