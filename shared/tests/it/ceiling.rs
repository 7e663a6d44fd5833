//! A database that allows fewer connections than the pool wants: those that are open are shared.

use std::time::Duration;

use devstack::{TestWait, until};
use shared::{db, fault, fault::Fault, health::ProcessHealth, relay::RelayStep};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::{
    kit::{self, PATIENCE},
    relay,
    relay_leaders::Nothing,
};

/// A role that may open this number of connections, and its database settings.
async fn role(
    pool: &PgPool,
    settings: &db::DatabaseSettings,
    connections: u32,
) -> (String, db::DatabaseSettings) {
    use secrecy::ExposeSecret as _;
    let name = format!("limited_{:08x}", fastrand::u32(..));
    let sql = format!("CREATE ROLE {name} LOGIN PASSWORD 'secret' CONNECTION LIMIT {connections}");
    pool.execute(AssertSqlSafe(sql)).await.unwrap();
    let (_, place) = settings.url.expose_secret().rsplit_once('@').unwrap();
    let url = format!("postgres://{name}:secret@{place}").into();
    (name, db::DatabaseSettings { url, connections_max: 10, ..settings.clone() })
}

async fn transaction(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = db::begin(pool).await?;
    tx.execute("SELECT 1").await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_share_the_connections_that_are_open_and_the_ceiling_is_named() {
    let (superuser, settings) = kit::database().await;
    let (name, settings) = role(&superuser, &settings, 3).await;
    // A caller that only tries to connect fails, unless idle connections are checked.
    let settings = db::DatabaseSettings { acquire_timeout: Duration::from_mins(1), ..settings };
    let pool = db::pool(&settings, "ceiling").unwrap();
    let health = ProcessHealth::default();
    db::tell(&pool, &health.component("database"));
    let callers = (0..64).map(|_| async {
        let mut failures = Vec::new();
        for _ in 0..15 {
            failures.extend(transaction(&pool).await.err().map(|error| fault::chain(&error)));
        }
        failures
    });
    let failures = futures_util::future::join_all(callers).await.concat();
    assert_eq!(failures, Vec::<String>::new());
    // One more than allowed: reported while it lasts, and served as soon as a connection is idle.
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(db::borrow(&pool).await.unwrap());
    }
    let one_more = transaction(&pool);
    let named = async {
        until("the refusal is shown", async || db::refusal(&pool).is_some()).await;
        let said = health.report()["database"].clone().unwrap();
        assert!(said.contains("allows no more connections"), "{said}");
        held.into_iter().for_each(db::LoanedConnection::give_back);
    };
    let (served, ()) = tokio::join!(one_more, named);
    served.unwrap();
    // The relay's own connection is accepted: the pool closes one.
    let options = db::options(&settings, "relay").unwrap();
    let relay = until_connected(&pool, &options).await;
    transaction(&pool).await.unwrap();
    drop(relay);
    let sql = AssertSqlSafe(format!("ALTER ROLE {name} CONNECTION LIMIT 50"));
    superuser.execute(sql).await.unwrap();
    until("more connections are allowed again", async || {
        transaction(&pool).await.unwrap();
        db::refusal(&pool).is_none()
    })
    .await;
    assert_eq!(health.report()["database"].as_deref(), Ok("ready"));
}

async fn until_connected(pool: &PgPool, options: &db::SessionOptions) -> sqlx::PgConnection {
    let work = async {
        loop {
            transaction(pool).await.unwrap();
        }
    };
    let connect = async {
        loop {
            if let Ok(conn) = options.connect().await {
                return conn;
            }
        }
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            conn = connect => conn,
            () = work => unreachable!("it has no end"),
        }
    })
    .await
    .unwrap()
}

/// The sessions of this role.
async fn sessions(superuser: &PgPool, role: &str) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE usename = $1 ORDER BY pid";
    sqlx::query_scalar(sql).bind(role).fetch_all(superuser).await.unwrap()
}

/// Borrows two connections at once.
async fn borrow_two(pool: &PgPool) {
    let (one, two) = (db::borrow(pool).await.unwrap(), db::borrow(pool).await.unwrap());
    one.give_back();
    two.give_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stands_by_takes_one_connection_from_the_pool_and_no_more() {
    let (superuser, settings) = kit::database().await;
    let mut leader = superuser.acquire().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended('messaging.relay', 0))";
    leader.execute(lock).await.unwrap();
    let (name, settings) = role(&superuser, &settings, 3).await;
    let settings = db::DatabaseSettings { acquire_timeout: Duration::from_mins(1), ..settings };
    let pool = db::pool(&settings, "ceiling").unwrap();
    let third = db::borrow(&pool).await.unwrap();
    borrow_two(&pool).await;
    third.give_back();
    let mut relay = relay::relay(&settings, Nothing);
    let stands = async {
        let mut patience = TestWait::until("the relay stands by");
        while let Err(error) = relay.step().await {
            patience.looked(fault::chain(&error));
        }
    };
    let work = async {
        loop {
            transaction(&pool).await.unwrap();
        }
    };
    tokio::select! {
        () = stands => (),
        () = work => unreachable!("it has no end"),
    }
    // The pool may have been asked for a connection once more than needed.
    for _again in 0..3 {
        borrow_two(&pool).await;
    }
    let shared = sessions(&superuser, &name).await;
    assert_eq!(shared.len(), 3, "{shared:?}");
    for _look in 0..5 {
        assert_eq!(relay.step().await.unwrap(), RelayStep::Standby);
        borrow_two(&pool).await;
        assert_eq!(sessions(&superuser, &name).await, shared);
    }
}

#[tokio::test]
async fn who_waits_in_vain_is_told_that_there_are_too_many_connections() {
    let (superuser, settings) = kit::database().await;
    let (_, settings) = role(&superuser, &settings, 0).await;
    let settings = db::DatabaseSettings { acquire_timeout: Duration::from_secs(1), ..settings };
    let pool = db::pool(&settings, "ceiling").unwrap();
    // A trial that the machine delayed has no result; the next one has.
    let mut said = String::new();
    for _try in 0..60 {
        let error = transaction(&pool).await.unwrap_err();
        said = fault::chain(&error);
        assert!(!said.contains("secret"), "{said}");
        if Fault::from(error).sqlstate().as_deref() == Some("53300") {
            break;
        }
    }
    assert!(said.contains("allows no more connections (53300)"), "{said}");
}
