//! A real `PgBouncer` before the database.

use devstack::{Patience, Pooler, Pooling};
use shared::{
    db,
    effects::Wakers,
    fault,
    health::Health,
    outbox::{self, Kept},
    relay::{Answer, Publish, Relay, Settings, Step},
};

use crate::kit::{NUMBERS, PATIENCE, number};

/// Connections to the server that the pooler holds.
const SIZE: u32 = 20;

async fn pooled(pooling: Pooling) -> (Pooler, db::Settings) {
    let url = devstack::database("pooled").await;
    let pooler = Pooler::start(&url, pooling, SIZE).await.unwrap();
    let settings = db::Settings::new(pooler.url().into()).patient(PATIENCE);
    (pooler, settings)
}

struct Everything;

impl Publish for Everything {
    async fn publish(&mut self, messages: &[Kept]) -> Vec<Answer> {
        vec![Answer::Confirmed; messages.len()]
    }
}

fn relay(database: &db::Settings) -> Relay<Everything> {
    let settings = Settings {
        database: db::options(database, "relay").unwrap(),
        service: "test",
        batch_max: 10,
        poll: PATIENCE,
        statement_limit: PATIENCE,
        stop_grace: PATIENCE,
        lead_limit: PATIENCE,
    };
    Relay::new(settings, Everything, Wakers::default(), Health::default().component("relay"))
}

#[tokio::test]
async fn behind_a_pooler_of_sessions_limits_hold_and_one_relay_leads() {
    let (_pooler, settings) = pooled(Pooling::Session).await;
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
    assert_eq!(first.step().await.unwrap(), Step::Published(10));
    assert_eq!(second.step().await.unwrap(), Step::Standby);
    drop(first);
    let mut patience = Patience::until("the lock is free");
    let mut took_over = second.step().await.unwrap();
    while took_over == Step::Standby {
        patience.look_again(Step::Standby).await;
        took_over = second.step().await.unwrap();
    }
    assert_eq!(took_over, Step::Published(5));
}

#[tokio::test]
async fn a_pooler_of_transactions_is_named_at_the_start() {
    let (_pooler, settings) = pooled(Pooling::Transaction).await;
    let (pool, options) =
        (db::pool(&settings, "test").unwrap(), db::options(&settings, "test").unwrap());
    let refused = fault::chain(&db::check(&pool, &options).await.unwrap_err());
    assert!(refused.contains("pool_mode = session"), "{refused}");
}
