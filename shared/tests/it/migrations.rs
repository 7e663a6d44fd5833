//! Migrations beside those who are at work.

use std::time::Duration;

use devstack::until;
use shared::{
    db,
    dependency::{self, Waited},
    fault::Fault,
    health::Health,
};
use sqlx::{
    Executor as _, PgPool,
    migrate::{Migrate as _, Migration, MigrationType, Migrator},
};
use tokio_util::sync::CancellationToken;

use crate::kit;

fn migrator(sql: &'static str) -> Migrator {
    use sqlx::SqlSafeStr as _;
    let sql = sql.into_sql_str();
    Migrator::with_migrations(vec![Migration::new(
        1,
        "a change".into(),
        MigrationType::Simple,
        sql,
        false,
    )])
}

/// Whether anybody waits for a lock on the table.
async fn somebody_waits(pool: &PgPool) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'report'::regclass AND NOT granted)",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_migration_that_waits_behind_a_reader_lets_others_pass_and_goes_through_when_it_is_gone()
{
    let (pool, settings) = kit::database().await;
    pool.execute("CREATE TABLE report (n int)").await.unwrap();
    let change = migrator("ALTER TABLE report ADD COLUMN m int");
    let mut reader = db::begin(&pool).await.unwrap();
    reader.execute("SELECT * FROM report").await.unwrap();
    // Long beside the migration's limit, and not for ever, if there is none.
    let settings = db::Settings { lock_timeout: Duration::from_mins(1), ..settings };
    let others = db::pool(&settings, "others").unwrap();
    let component = Health::default().component("database");
    let stop = CancellationToken::new();
    let migrating = dependency::wait(&component, &stop, db::may_pass, async || {
        db::migrate(&pool, &change).await
    });
    let meanwhile = async {
        for _again in 0..3 {
            until("the migration waits", async || somebody_waits(&others).await).await;
            others.execute("SELECT * FROM report").await.expect("it passes while the reader stays");
        }
        reader.rollback().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(Box::pin(migrating), meanwhile);
    assert!(matches!(migrated, Waited::Up(())), "{migrated:?}");
    pool.execute("SELECT m FROM report").await.unwrap();
}

#[tokio::test]
async fn a_migration_waits_for_its_turn_for_longer_than_for_a_lock() {
    let (pool, _) = kit::database().await;
    pool.execute("CREATE TABLE report (n int)").await.unwrap();
    let mut other = pool.acquire().await.unwrap();
    other.lock().await.unwrap();
    let change = migrator("ALTER TABLE report ADD COLUMN m int");
    let migrating = async { db::migrate(&pool, &change).await.unwrap() };
    let meanwhile = async {
        until("the migration waits for its turn", async || {
            let waits =
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
            sqlx::query_scalar(waits).fetch_one(&pool).await.unwrap()
        })
        .await;
        // Three seconds of the server's clock: a wait for a lock that somebody holds.
        let mut holder = db::begin(&pool).await.unwrap();
        holder.execute("LOCK TABLE report").await.unwrap();
        let wait = pool.execute("SET lock_timeout = '3s'; LOCK TABLE report").await;
        assert!(Fault::from(wait.unwrap_err()).is_lock_timeout());
        holder.rollback().await.unwrap();
        other.unlock().await.unwrap();
    };
    tokio::join!(Box::pin(migrating), meanwhile);
    pool.execute("SELECT m FROM report").await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_migration_is_not_waited_for() {
    let (pool, _) = kit::database().await;
    let error = db::migrate(&pool, &migrator("SELECT 1 / 0")).await.unwrap_err();
    assert!(!db::may_pass(&error), "{error}");
}
