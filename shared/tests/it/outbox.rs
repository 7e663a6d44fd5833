//! The outbox: which rows it holds, in which order they are read, which relay may delete them.

use devstack::TestWait;
use shared::{
    db,
    fault::Fault,
    outbox::{self, MESSAGE_BYTES_MAX},
    published::{self, OffsetsByPartition, PublishedRetention},
};
use sqlx::{Executor as _, PgConnection};

use crate::kit::{NUMBERS, database, number};

async fn settle(conn: &mut PgConnection, epoch: i64, outbox_id: i64) -> bool {
    let confirmed = (&OffsetsByPartition::default(), &PublishedRetention::default());
    published::settle(conn, epoch, &[outbox_id], confirmed).await.unwrap()
}

#[tokio::test]
async fn a_message_comes_out_as_it_was_kept() {
    let (pool, _) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let messages = [number(NUMBERS, "a", 1, 10), number(NUMBERS, "b", 1, 20)];
    outbox::append(&mut conn, &messages).await.unwrap();
    let kept = outbox::head(&mut conn, 10).await.unwrap();
    assert_eq!(kept.into_iter().map(|row| row.message).collect::<Vec<_>>(), messages);
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let (pool, _) = database().await;
    let mut slow = db::begin(&pool).await.unwrap();
    outbox::append(&mut slow, &[number(NUMBERS, "slow", 1, 1)]).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    outbox::append(&mut conn, &[number(NUMBERS, "fast", 1, 2)]).await.unwrap();
    conn.execute("INSERT INTO messaging.relay_lease (epoch, holder) VALUES (1, 'test')")
        .await
        .unwrap();

    let first = outbox::head(&mut conn, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    assert!(settle(&mut conn, 1, first[0].outbox_id).await);
    slow.commit().await.unwrap();

    let second = outbox::head(&mut conn, 10).await.unwrap();
    assert_eq!(second[0].message.key.as_deref(), Some(b"slow".as_slice()));
    assert!(second[0].outbox_id < first[0].outbox_id);
}

#[tokio::test]
async fn ids_of_one_key_rise_in_the_order_of_the_commits() {
    let (pool, _) = database().await;
    pool.execute("INSERT INTO tally VALUES ('one', 0, 0)").await.unwrap();
    let writers = (0..8).map(|_| {
        let pool = pool.clone();
        async move {
            for _ in 0..10 {
                let mut tx = db::begin(&pool).await.unwrap();
                let said: i64 = sqlx::query_scalar(
                    "UPDATE tally SET said = said + 1 WHERE key = 'one' RETURNING said",
                )
                .fetch_one(&mut *tx)
                .await
                .unwrap();
                outbox::append(&mut tx, &[number(NUMBERS, "one", said, said)]).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let mut conn = pool.acquire().await.unwrap();
    let said: Vec<String> = outbox::head(&mut conn, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| String::from_utf8(row.message.payload.unwrap()).unwrap())
        .collect();
    assert_eq!(said, (1..=80).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_relay_of_an_older_epoch_settles_nothing() {
    let (pool, _) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    conn.execute("INSERT INTO messaging.relay_lease (epoch, holder) VALUES (2, 'test')")
        .await
        .unwrap();
    outbox::append(&mut conn, &[number(NUMBERS, "a", 1, 1)]).await.unwrap();
    let kept = outbox::head(&mut conn, 10).await.unwrap();
    assert!(!settle(&mut conn, 1, kept[0].outbox_id).await);
    assert_eq!(outbox::head(&mut conn, 10).await.unwrap(), kept);
    assert!(settle(&mut conn, 2, kept[0].outbox_id).await);
    assert_eq!(outbox::head(&mut conn, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_message_that_no_broker_would_take_is_refused_at_once() {
    let (pool, _) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let mut message = number(NUMBERS, "a", 1, 1);
    message.payload = Some(vec![0; MESSAGE_BYTES_MAX]);
    let error = outbox::append(&mut conn, &[message]).await.unwrap_err();
    assert!(matches!(Fault::from(error), Fault::Poison(_)));
}

#[tokio::test]
async fn a_dropped_transaction_gives_no_open_one_to_the_next_user() {
    let (pool, _) = database().await;
    for _ in 0..40 {
        let mut tx = db::begin(&pool).await.unwrap();
        outbox::append(&mut tx, &[number(NUMBERS, "a", 1, 1)]).await.unwrap();
    }
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(outbox::backlog(&mut conn, 10).await.unwrap().messages, 0);
    // The server closes dropped connections a moment later; they do not accumulate.
    let mut patience = TestWait::until("no transaction is open any more");
    loop {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'
               AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        if open == 0 {
            return;
        }
        patience.look_again(open).await;
    }
}
