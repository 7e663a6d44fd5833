//! A real `PgBouncer` in front of the database.

use devstack::{PoolMode, RunningPooler, TestWait};
use shared::{
    db,
    effects::WorkerWakers,
    fault,
    health::ProcessHealth,
    outbox::{self, OutboxRow},
    relay::{MessagePublisher, OutboxRelay, PublishResult, RelaySettings, RelayStep},
};

use crate::kit::{NUMBERS, PATIENCE, number};

/// The number of server connections of the pooler.
const SIZE: u32 = 20;

async fn pooled(pooling: PoolMode) -> (RunningPooler, db::DatabaseSettings) {
    let url = devstack::database("pooled").await;
    let pooler = RunningPooler::start(&url, pooling, SIZE).await.unwrap();
    let settings = db::DatabaseSettings::new(pooler.url().into()).patient(PATIENCE);
    (pooler, settings)
}

struct Everything;

impl MessagePublisher for Everything {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        vec![PublishResult::Confirmed; messages.len()]
    }
}

fn relay(database: &db::DatabaseSettings) -> OutboxRelay<Everything> {
    let settings = RelaySettings {
        database: db::options(database, "relay").unwrap(),
        service: "test",
        batch_max: 10,
        poll: PATIENCE,
        statement_limit: PATIENCE,
        stop_grace: PATIENCE,
        lead_limit: PATIENCE,
    };
    OutboxRelay::new(
        settings,
        Everything,
        WorkerWakers::default(),
        ProcessHealth::default().component("relay"),
    )
}

#[tokio::test]
async fn behind_a_pooler_of_sessions_limits_hold_and_one_relay_leads() {
    let (_pooler, settings) = pooled(PoolMode::Session).await;
    let (pool, options) =
        (db::pool(&settings, "test").unwrap(), db::options(&settings, "test").unwrap());
    db::check(&pool, &options).await.unwrap();
    db::migrate(&pool, &sqlx::migrate::Migrator::DEFAULT).await.unwrap();

    let limits: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, setting FROM pg_settings
         WHERE name LIKE '%\\_timeout' OR name LIKE 'tcp\\_keepalives%' ORDER BY name",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let patience = PATIENCE.as_millis().to_string();
    for (name, value) in [
        ("statement_timeout", patience.as_str()),
        ("lock_timeout", &patience),
        ("idle_in_transaction_session_timeout", &patience),
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ] {
        assert!(limits.contains(&(name.to_owned(), value.to_owned())), "{name}: {limits:?}");
    }

    let messages: Vec<_> = (1..=15).map(|n| number(NUMBERS, "a", n, n)).collect();
    let mut tx = db::begin(&pool).await.unwrap();
    outbox::append(&mut tx, &messages).await.unwrap();
    tx.commit().await.unwrap();
    let (mut first, mut second) = (relay(&settings), relay(&settings));
    assert_eq!(first.step().await.unwrap(), RelayStep::Published(10));
    assert_eq!(second.step().await.unwrap(), RelayStep::Standby);
    drop(first);
    let mut patience = TestWait::until("the lock is free");
    let mut took_over = second.step().await.unwrap();
    while took_over == RelayStep::Standby {
        patience.look_again(RelayStep::Standby).await;
        took_over = second.step().await.unwrap();
    }
    assert_eq!(took_over, RelayStep::Published(5));
}

#[tokio::test]
async fn a_pooler_of_transactions_is_named_at_the_start() {
    let (_pooler, settings) = pooled(PoolMode::Transaction).await;
    let (pool, options) =
        (db::pool(&settings, "test").unwrap(), db::options(&settings, "test").unwrap());
    let refused = fault::chain(&db::check(&pool, &options).await.unwrap_err());
    assert!(refused.contains("pool_mode = session"), "{refused}");
}
