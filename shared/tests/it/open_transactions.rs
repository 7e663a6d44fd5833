//! Which transactions are waited for before a range counts as complete.

use devstack::until;
use secrecy::ExposeSecret as _;
use shared::{db, open_transactions::OpenTransactions, outbox};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kit::{NUMBERS, database, number};

/// A copy of the database, with all objects under the same numbers (OIDs).
async fn copy_of(settings: &db::DatabaseSettings) -> db::DatabaseSettings {
    let (place, name) = settings.url.expose_secret().rsplit_once('/').unwrap();
    let server = &devstack::shared().await.urls().postgres;
    let mut conn = PgConnection::connect(server).await.unwrap();
    let sql = format!("CREATE DATABASE {name}_copy TEMPLATE {name}");
    // A database with connections cannot be copied; the last connection may not be closed yet.
    until("it is copied", async || conn.execute(AssertSqlSafe(sql.clone())).await.is_ok()).await;
    db::DatabaseSettings { url: format!("{place}/{name}_copy").into(), ..settings.clone() }
}

#[tokio::test]
async fn who_writes_to_the_same_table_in_a_copy_of_the_database_is_not_waited_for() {
    let (pool, settings) = database().await;
    pool.close().await;
    let copy = copy_of(&settings).await;
    let (here, there) = (db::pool(&settings, "here").unwrap(), db::pool(&copy, "there").unwrap());
    let write = async |pool| {
        let mut tx = db::begin(pool).await.unwrap();
        outbox::append(&mut tx, &[number(NUMBERS, "a", 1, 1)]).await.unwrap();
        tx
    };
    let (ours, theirs) = (write(&here).await, write(&there).await);
    let mut conn = here.acquire().await.unwrap();
    let writers = OpenTransactions::of(&mut conn, "messaging.outbox").await.unwrap();
    assert!(!writers.have_ended(&mut conn).await.unwrap(), "ours is open");
    ours.commit().await.unwrap();
    assert!(writers.have_ended(&mut conn).await.unwrap(), "theirs is of another database");
    theirs.rollback().await.unwrap();
}
