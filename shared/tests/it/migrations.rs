//! Migrations while other transactions run.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use devstack::until;
use shared::{
    db,
    dependency::{self, WaitOutcome},
    fault::Fault,
    health::ProcessHealth,
    message::OutgoingMessage,
};
use sqlx::{
    Executor as _, PgPool,
    migrate::{Migrate as _, Migration, MigrationType, Migrator},
};
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::{open, unreadable},
    kit::{self, NUMBERS, Tally, number, parts, totals},
};

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

/// Whether a session waits for a lock on the table.
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
    // Long compared with the migration's limit, but bounded if there is no limit.
    let settings = db::DatabaseSettings { lock_timeout: Duration::from_mins(1), ..settings };
    let others = db::pool(&settings, "others").unwrap();
    let component = ProcessHealth::default().component("database");
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
    assert!(matches!(migrated, WaitOutcome::Up(())), "{migrated:?}");
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
        // Three seconds of the server's clock: a wait for a lock that another session holds.
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

/// The migrations of the runtime up to this version.
async fn runtime_up_to(version: i64) -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut all = Migrator::new(folder).await.unwrap();
    all.migrations.to_mut().retain(|migration| migration.version <= version);
    all
}

/// A message of the version that still parked some: its place and its content.
async fn park(pool: &PgPool, offset: i64, message: &OutgoingMessage) {
    sqlx::query(
        "INSERT INTO messaging.parked
             (lane, topic, partition, \"offset\", timestamp_ms, key, headers, payload)
         VALUES ('', $1, 0, $2, 1, $3, $4, $5)",
    )
    .bind(&*message.topic)
    .bind(offset)
    .bind(&message.key)
    .bind(message.headers.to_bytes())
    .bind(&message.payload)
    .execute(pool)
    .await
    .unwrap();
}

/// A new database with the runtime's tables of an earlier version.
async fn database_of_version(version: i64) -> PgPool {
    let url = devstack::database("upgrade").await;
    let settings = db::DatabaseSettings::new(url.into()).patient(kit::PATIENCE);
    let pool = db::pool(&settings, "before").unwrap();
    let mut conn = pool.acquire().await.unwrap().detach();
    conn.execute("CREATE SCHEMA messaging; SET search_path = messaging").await.unwrap();
    runtime_up_to(version).await.run(&mut conn).await.unwrap();
    pool
}

#[tokio::test]
async fn an_upgrade_renames_the_codes_of_an_earlier_version_and_leaves_all_others() {
    let pool = database_of_version(11).await;
    let before = "INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\",
                      headers, reason, detail)
                  VALUES (gen_random_uuid(), 'numbers', 0, 0, '', 'imposter', ''),
                         (gen_random_uuid(), 'numbers', 0, 1, '', 'body', '');
                  INSERT INTO messaging.dead_letter_decision
                      (letter_id, source, topic, action, outcome, decided_by)
                  VALUES (gen_random_uuid(), 'message', 'numbers', 'redrive', 'taken-in', 'ada'),
                         (gen_random_uuid(), 'message', 'numbers', 'redrive', 'still-dead', 'ada')";
    pool.execute(before).await.unwrap();

    db::migrate(&pool, &Migrator::DEFAULT).await.unwrap();
    let reasons: BTreeSet<String> =
        open(&pool).await.into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["body".to_owned(), "reused-id".to_owned()].into());
    let outcomes: Vec<String> = sqlx::query_scalar(
        "SELECT outcome FROM messaging.dead_letter_decision ORDER BY decision_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(outcomes, ["processed", "still-dead"]);
}

#[tokio::test]
async fn what_an_earlier_version_had_parked_is_processed_at_the_start_and_nothing_of_it_is_lost() {
    let pool = database_of_version(10).await;
    pool.execute(kit::TALLY_TABLE).await.unwrap();
    let letter = "INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\",
                      headers, lane, reason, detail, settled)
                  VALUES (gen_random_uuid(), 'numbers', 0, 0, '', 'a', 'body', '', NULL),
                         (gen_random_uuid(), 'numbers', 0, 1, '', 'b', 'body', '', 'discarded')";
    pool.execute(letter).await.unwrap();
    for n in 2..130 {
        park(&pool, n, &number(NUMBERS, "a", n, 1)).await;
    }
    park(&pool, 130, &unreadable("b", 1)).await;

    db::migrate(&pool, &Migrator::DEFAULT).await.unwrap();
    let parts = Arc::new(parts(&pool, Tally::default()));
    let open = async || open(&pool).await;
    assert_eq!(open().await.len(), 130, "all but the letter that was decided upon");
    let stop = CancellationToken::new();
    let redriven = until("none is parked any more", async || {
        open().await.iter().all(|letter| letter.reason != "parked")
    });
    let stopping = async {
        redriven.await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(parts.redrive_parked(stop.clone()), stopping);
    ended.unwrap();
    assert_eq!(totals(&pool).await["a"], 128);
    let left: Vec<_> =
        open().await.into_iter().map(|letter| (letter.reason, letter.attempts)).collect();
    assert_eq!(
        left.len(),
        2,
        "the letter of before, and the parked one that is dead itself: {left:?}"
    );
    let decided: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messaging.dead_letter_decision WHERE decided_by = 'upgrade'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(decided, 129);
}
