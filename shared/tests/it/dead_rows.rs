//! An old snapshot (a backup, a report) keeps deleted rows from being vacuumed. Scans do not read
//! them, and overlook no row that commits late.

use std::sync::{Arc, Mutex};

use devstack::TestWait;
use shared::{
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    outbox::{self, OutboxRow},
    relay::{MessagePublisher, OutboxRelay, PublishResult, RelaySettings, RelayStep},
};
use sqlx::{Executor as _, PgPool};

use crate::{
    kit::{NUMBERS, PATIENCE, database, number},
    probe::{self, Act, Probe, policy, worker},
};

/// The number of rows that are written and deleted under an old snapshot.
const TURNED_OVER: i64 = 50_000;
/// The most pages that a scan may read: a few thousand dead rows, not all of them.
const PAGES_MAX: i64 = 200;

/// A log that confirms everything, and records the published keys.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<i64>>>);

impl MessagePublisher for Everything {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        self.0.lock().unwrap().extend(messages.iter().map(|row| row.outbox_id));
        vec![PublishResult::Confirmed; messages.len()]
    }
}

impl Everything {
    fn published(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn relay(database: &db::DatabaseSettings, log: &Everything) -> OutboxRelay<Everything> {
    let settings = RelaySettings {
        database: db::options(database, "relay").unwrap(),
        service: "test",
        batch_max: 1_000,
        poll: PATIENCE,
        statement_limit: PATIENCE,
        stop_grace: PATIENCE,
        lead_limit: PATIENCE,
    };
    OutboxRelay::new(
        settings,
        log.clone(),
        WorkerWakers::default(),
        ProcessHealth::default().component("relay"),
    )
}

/// Steps until there was nothing to publish for a few times: then the floor is at its final place.
async fn until_idle(relay: &mut OutboxRelay<Everything>) {
    let mut patience = TestWait::until("the outbox is empty");
    let (mut idle, mut steps) = (0, 0);
    while idle < 4 {
        idle = if relay.step().await.unwrap() == RelayStep::Idle { idle + 1 } else { 0 };
        steps += 1;
        patience.looked(steps);
    }
}

/// A transaction whose snapshot still sees all current rows.
async fn old_snapshot(pool: &PgPool) -> db::DatabaseTransaction {
    let mut tx = db::begin(pool).await.unwrap();
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    tx.execute("SELECT 1").await.unwrap();
    tx
}

/// This many messages, in the form of [`outbox::append`].
async fn keep(pool: &PgPool, n: i64) {
    outbox::append(&mut pool.acquire().await.unwrap(), &[number(NUMBERS, "a", 1, 1)])
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO messaging.outbox (message_id, topic, key, headers, payload)
         SELECT gen_random_uuid(), topic, key, headers, payload
         FROM (SELECT * FROM messaging.outbox ORDER BY outbox_id DESC LIMIT 1) AS one,
              generate_series(2, $1)",
    )
    .bind(n)
    .execute(pool)
    .await
    .unwrap();
}

async fn floor(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT floor FROM messaging.outbox_floor").fetch_one(pool).await.unwrap()
}

/// The pages that statements with these words read in `work`.
async fn pages(pool: &PgPool, words: &str, work: impl AsyncFnOnce()) -> i64 {
    pool.execute(
        "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database
         WHERE datname = current_database()",
    )
    .await
    .unwrap();
    work().await;
    sqlx::query_scalar(
        "SELECT sum(shared_blks_hit + shared_blks_read)::int8 FROM pg_stat_statements
         JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = current_database() AND query LIKE $1 AND query NOT LIKE '%blks_hit%'",
    )
    .bind(format!("%{words}%"))
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn count_pages(pool: &PgPool) {
    pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
}

#[tokio::test]
async fn a_look_at_the_outbox_does_not_walk_over_what_was_published_under_an_old_snapshot() {
    let (pool, database) = database().await;
    count_pages(&pool).await;
    let log = Everything::default();
    let mut relay = relay(&database, &log);
    until_idle(&mut relay).await;
    let reader = old_snapshot(&pool).await;
    keep(&pool, TURNED_OVER).await;
    until_idle(&mut relay).await;
    keep(&pool, 3).await;
    let mut conn = pool.acquire().await.unwrap();
    // As after the server's own vacuum: the planner knows how few rows live.
    for vacuumed in [false, true] {
        if vacuumed {
            pool.execute("VACUUM ANALYZE messaging.outbox").await.unwrap();
        }
        let head = pages(&pool, "headers, payload%LIMIT", async || {
            assert_eq!(outbox::head(&mut conn, 1_000).await.unwrap().len(), 3);
        });
        assert!(head.await < PAGES_MAX, "vacuumed: {vacuumed}");
        let backlog = pages(&pool, "AS head", async || {
            assert_eq!(outbox::backlog(&mut conn, 20_001).await.unwrap().messages, 3);
        });
        assert!(backlog.await < PAGES_MAX, "vacuumed: {vacuumed}");
    }
    let walk = pages(&pool, "AS walked", async || {
        let all = "SELECT min(outbox_id) AS walked FROM messaging.outbox";
        pool.execute(all).await.unwrap();
    });
    assert!(walk.await > 2 * PAGES_MAX, "the dead rows are not there, and nothing was tried");
    until_idle(&mut relay).await;
    assert_eq!(i64::try_from(log.published()).unwrap(), TURNED_OVER + 3);
    reader.rollback().await.unwrap();
}

#[tokio::test]
async fn a_row_that_commits_late_stays_above_the_floor() {
    let (pool, database) = database().await;
    let log = Everything::default();
    let mut relay = relay(&database, &log);
    let mut slow = db::begin(&pool).await.unwrap();
    outbox::append(&mut slow, &[number(NUMBERS, "slow", 1, 1)]).await.unwrap();
    keep(&pool, 5_000).await;
    until_idle(&mut relay).await;
    assert_eq!(log.published(), 5_000);
    assert_eq!(floor(&pool).await, 0, "whose id is the lowest has not committed");
    slow.commit().await.unwrap();
    until_idle(&mut relay).await;
    assert_eq!(log.published(), 5_001);
    assert!(floor(&pool).await > 4_000, "nobody holds it any more");
    // A transaction that is rolled back leaves a gap, and blocks nothing.
    let mut slow = db::begin(&pool).await.unwrap();
    outbox::append(&mut slow, &[number(NUMBERS, "slow", 2, 2)]).await.unwrap();
    keep(&pool, 5_000).await;
    slow.rollback().await.unwrap();
    until_idle(&mut relay).await;
    assert!(floor(&pool).await > 9_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_commits_in_whatever_order_is_published_once() {
    let (pool, database) = database().await;
    let log = Everything::default();
    let mut relay = relay(&database, &log);
    let writers = (0..8_usize).map(|writer| {
        let pool = pool.clone();
        async move {
            for nth in 0..50_usize {
                let mut tx = db::begin(&pool).await.unwrap();
                let key = format!("{writer} {nth}");
                let messages: Vec<_> = (1..=20).map(|n| number(NUMBERS, &key, n, n)).collect();
                outbox::append(&mut tx, &messages).await.unwrap();
                // Some transactions commit late.
                for _ in 0..(writer * 7 + nth * 3) % 40 {
                    tx.execute("SELECT 1").await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        }
    });
    let publishing = async {
        let mut patience = TestWait::until("all of it is published");
        while log.published() < 8_000 {
            relay.step().await.unwrap();
            patience.looked(log.published());
        }
    };
    tokio::join!(futures_util::future::join_all(writers), publishing);
    until_idle(&mut relay).await;
    let mut published = log.0.lock().unwrap().clone();
    published.sort_unstable();
    published.dedup();
    assert_eq!((published.len(), log.published()), (8_000, 8_000));
    assert!(floor(&pool).await > 5_000, "it was raised meanwhile");
}

#[tokio::test]
async fn ids_that_begin_anew_are_not_below_an_old_floor() {
    let (pool, database) = database().await;
    let log = Everything::default();
    let mut relay = relay(&database, &log);
    keep(&pool, 5_000).await;
    until_idle(&mut relay).await;
    assert!(floor(&pool).await > 4_000);
    // As on a server to which rows were copied without their sequences.
    pool.execute("TRUNCATE messaging.outbox RESTART IDENTITY").await.unwrap();
    keep(&pool, 3).await;
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(outbox::backlog(&mut conn, 10).await.unwrap().messages, 3);
    until_idle(&mut relay).await;
    assert_eq!(log.published(), 5_003);
}

#[tokio::test]
async fn work_on_jobs_does_not_walk_over_those_that_were_done_under_an_old_snapshot() {
    let pool = probe::database().await;
    count_pages(&pool).await;
    let reader = old_snapshot(&pool).await;
    let turn_over = "
        INSERT INTO messaging.job (kind, key, payload, due_at)
        SELECT 'probe', 'old ' || n, '{}', now() - interval '1 hour' + n * interval '1 millisecond'
        FROM generate_series(1, 50000) AS n;
        DELETE FROM messaging.job";
    pool.execute(turn_over).await.unwrap();
    let probe = Probe::default();
    let mut worker = worker(&pool, &probe, policy());
    for _ in 0..3 {
        worker.step().await.unwrap();
    }
    // As after the server's own vacuum: the planner knows how few rows live.
    for (key, vacuumed) in [("a", false), ("b", true)] {
        if vacuumed {
            pool.execute("VACUUM ANALYZE messaging.job").await.unwrap();
        }
        let work = pages(&pool, "messaging.job", async || {
            probe::append(&pool, &[key]).await;
            probe.plan(key, [Act::Refused(None)]);
            worker.step().await.unwrap();
            let stopped = [probe::job_key(key)];
            shared::jobs::stop(&mut pool.acquire().await.unwrap(), &stopped).await.unwrap();
            probe::append(&pool, &[key]).await;
            worker.step().await.unwrap();
        });
        assert!(work.await < PAGES_MAX, "vacuumed: {vacuumed}");
    }
    assert_eq!(probe.attempts().len(), 4);
    assert_eq!(probe::rows(&pool).await, []);
    let walk = pages(&pool, "AS walked", async || {
        let all = "SELECT count(*) AS walked FROM messaging.job";
        pool.execute(all).await.unwrap();
    });
    assert!(walk.await > 2 * PAGES_MAX, "the dead rows are not there, and nothing was tried");
    reader.rollback().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_committed_late_is_done() {
    let pool = probe::database().await;
    let probe = Probe::default();
    let mut worker = worker(&pool, &probe, policy());
    let mut slow = db::begin(&pool).await.unwrap();
    shared::jobs::append(&mut slow, &[probe::job("slow")]).await.unwrap();
    // As a transaction whose commit has waited for an hour.
    slow.execute("UPDATE messaging.job SET due_at = now() - interval '1 hour'").await.unwrap();
    for _ in 0..3 {
        assert_eq!(worker.step().await.unwrap().claimed, 0);
    }
    slow.commit().await.unwrap();
    assert_eq!(worker.step().await.unwrap().claimed, 1);
}
