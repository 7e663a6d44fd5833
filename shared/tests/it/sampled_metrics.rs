//! Sampled metrics: numbers from the database.

use std::time::Instant;

use devstack::until;
use shared::{
    db, dead_letter::LetterSampler, jobs::JobSampler, sampled_metrics::SamplerLoop, telemetry,
};
use sqlx::{Executor as _, PgPool};
use tokio::sync::Mutex;

use crate::kit::{self, value};

/// Letters have no label that separates one test's letters from another's.
static LETTERS: Mutex<()> = Mutex::const_new(());

/// The age of a planted row is at most its initial age plus the time since; a second is added for
/// the difference of two clocks.
fn assert_aged(value: f64, seconds: f64, planting: Instant) {
    let oldest = seconds + planting.elapsed().as_secs_f64() + 1.0;
    assert!((seconds..=oldest).contains(&value), "{value} is not {seconds} to {oldest}");
}

/// Waits until no other session is connected to this database: sessions report their statistics
/// when they end, or later.
async fn alone(pool: &PgPool) {
    until("the others are gone", async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT count(*) = 1 FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'",
        )
        .fetch_one(pool)
        .await
        .unwrap()
    })
    .await;
}

async fn looks(pool: &PgPool, kind: &'static str) {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    assert!(SamplerLoop::new(pool.clone(), JobSampler::of_kind(kind)).step().await);
}

#[tokio::test]
async fn jobs_are_counted_by_kind_and_state_and_the_first_that_is_due_has_an_age() {
    let (pool, _) = kit::database().await;
    let planting = Instant::now();
    pool.execute(
        "INSERT INTO messaging.job (kind, key, payload, state, due_at)
         SELECT kind, format('%s %s %s', state, due, n), '{}', state, now() + due
         FROM (VALUES ('counted', 'waiting', interval '-90 s', 3),
                      ('counted', 'waiting', interval '2 hours', 2),
                      ('counted', 'performing', interval '1 hour', 4),
                      ('counted', 'dead', interval '-1 day', 5),
                      ('another', 'waiting', interval '-1 day', 7)) AS planted (kind, state, due, many),
              generate_series(1, 9) AS n
         WHERE n <= many",
    )
    .await
    .unwrap();
    looks(&pool, "counted").await;
    for (name, n) in [("jobs_waiting", 5.0), ("jobs_performing", 4.0), ("jobs_given_up", 5.0)] {
        let seen = value(&format!("{name}{{kind=\"counted\"}}"));
        assert!((seen - n).abs() < 0.5, "{name} {seen}");
    }
    assert_aged(value("jobs_due_age_seconds{kind=\"counted\"}"), 90.0, planting);
    pool.execute("DELETE FROM messaging.job WHERE due_at < now()").await.unwrap();
    looks(&pool, "counted").await;
    assert_eq!(value("jobs_due_age_seconds{kind=\"counted\"}").to_string(), "0");
    assert_eq!(value("jobs_given_up{kind=\"counted\"}").to_string(), "0");
}

#[tokio::test]
async fn letters_are_counted_by_reason_and_are_0_again_once_they_are_closed() {
    let _alone = LETTERS.lock().await;
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = kit::database().await;
    let planting = Instant::now();
    pool.execute(
        "WITH planted (reason, settled, closed, many) AS (
             VALUES ('body', NULL, NULL::timestamptz, 3), ('reused-id', NULL, NULL, 2),
                    ('envelope', 'discarded', now(), 4)
         )
         INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\", headers,
                                            reason, detail, failed_at, settled, closed_at)
         SELECT gen_random_uuid(), 'numbers', many, n, '', reason, '', now() - interval '2 min',
                settled, closed
         FROM planted, generate_series(1, 9) AS n WHERE n <= many",
    )
    .await
    .unwrap();
    let sampler = SamplerLoop::new(pool.clone(), LetterSampler::describe());
    let counted = async || {
        assert!(sampler.step().await);
        let letters = ["body", "reused-id", "envelope"]
            .map(|reason| value(&format!("dead_letters{{reason=\"{reason}\"}}")).to_string());
        letters.join(" ")
    };
    assert_eq!(counted().await, "3 2 0");
    assert_aged(value("dead_letter_age_seconds"), 120.0, planting);
    pool.execute("UPDATE messaging.dead_letter SET closed_at = now()").await.unwrap();
    assert_eq!(counted().await, "0 0 0");
    assert_eq!(value("dead_letter_age_seconds").to_string(), "0");
}

#[tokio::test]
async fn counting_goes_along_indexes_however_much_else_there_is() {
    let _alone = LETTERS.lock().await;
    let (pool, settings) = kit::database().await;
    pool.close().await;
    // One connection, so that its statistics are reported before they are read; and no other one's.
    let pool =
        db::pool(&db::DatabaseSettings { connections_max: 1, ..settings }, "sampler").unwrap();
    alone(&pool).await;
    pool.execute(
        "INSERT INTO messaging.job (kind, key, payload, due_at)
         SELECT CASE WHEN n % 10 = 0 THEN 'counted' ELSE 'another' END, n::text, '{}', now()
         FROM generate_series(1, 50000) AS n;
         INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\", headers,
                                            reason, detail, settled, closed_at)
         SELECT gen_random_uuid(), 'numbers', 0, n, '', 'body', '', 'redriven', now()
         FROM generate_series(1, 50000) AS n;
         ANALYZE messaging.job; ANALYZE messaging.dead_letter",
    )
    .await
    .unwrap();
    let read_in_whole = async || {
        pool.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
        let tables: Vec<(String, i64)> = sqlx::query_as(
            "SELECT relname::text, seq_scan FROM pg_stat_user_tables
             WHERE relname IN ('job', 'dead_letter') ORDER BY relname",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        tables
    };
    let before = read_in_whole().await;
    assert_eq!(before.len(), 2);
    looks(&pool, "counted").await;
    assert!(SamplerLoop::new(pool.clone(), LetterSampler::describe()).step().await);
    assert_eq!(read_in_whole().await, before, "a table was read from its beginning to its end");
}

#[tokio::test]
async fn a_sample_that_fails_is_counted_and_leaves_the_metrics_as_they_were() {
    let (pool, _) = kit::database().await;
    pool.execute("INSERT INTO messaging.job (kind, key, payload) VALUES ('unseen', 'k', '{}')")
        .await
        .unwrap();
    looks(&pool, "unseen").await;
    pool.execute("ALTER TABLE messaging.job RENAME TO away").await.unwrap();
    assert!(!SamplerLoop::new(pool.clone(), JobSampler::of_kind("unseen")).step().await);
    assert_eq!(value("sampler_failures_total{of=\"unseen\"}").to_string(), "1");
    assert_eq!(value("jobs_waiting{kind=\"unseen\"}").to_string(), "1");
}

/// The pages that a sample of letters reads while an old snapshot is open, once the sampler has seen
/// them before: of letters that were closed, and two that are open.
async fn pages(closed: i64) -> i64 {
    let (pool, _) = kit::database().await;
    pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let mut reader = db::begin(&pool).await.unwrap();
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    reader.execute("SELECT 1").await.unwrap();
    sqlx::query(
        "INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\", headers, reason, detail, failed_at)
         SELECT gen_random_uuid(), 'numbers', 0, n, '', 'body', '',
                now() - CASE WHEN n > $1 THEN interval '90 s' ELSE interval '1 h' END
         FROM generate_series(1, $1 + 2) AS n",
    )
    .bind(closed)
    .execute(&pool)
    .await
    .unwrap();
    let close = "UPDATE messaging.dead_letter SET closed_at = now(), settled = 'redriven' WHERE \"offset\" <= $1";
    sqlx::query(close).bind(closed).execute(&pool).await.unwrap();
    let sampler = SamplerLoop::new(pool.clone(), LetterSampler::describe());
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
         WHERE datname = current_database() AND query LIKE '%open GROUP BY reason%'
           AND query NOT LIKE '%blks_hit%'",
    );
    let pages: i64 = pages.fetch_one(&pool).await.unwrap();
    reader.rollback().await.unwrap();
    pages
}

#[tokio::test]
async fn a_sample_of_letters_costs_what_is_open_and_not_what_was_closed() {
    let _alone = LETTERS.lock().await;
    let [few, many] = [pages(1_000).await, pages(100_000).await];
    assert!(few > 0);
    assert!(many <= few * 3 / 2 + 20, "{few} pages beside few that are closed, {many} beside many");
}
