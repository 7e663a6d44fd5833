//! The counts of open orders by what they wait for, and the low cost of the query.

use devstack::until;
use order_service::{
    OpenOrders,
    store::open::{self, OpenCount},
};
use shared::{db, sampled_metrics::SamplerLoop};
use sqlx::{Connection as _, Executor as _, PgConnection};
use time::Duration;
use uuid::Uuid;

use crate::{
    kit::Shop,
    words::{paid, reserved},
};

async fn counted(shop: &Shop) -> Vec<OpenCount> {
    let mut conn = db::borrow(&shop.pool).await.unwrap();
    let mut found = open::count(&mut conn, Uuid::nil(), 100).await.unwrap();
    conn.give_back();
    found.sort_by_key(|open_count| open_count.held);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn open_orders_are_counted_by_what_they_wait_for() {
    let shop = Shop::open().await;
    assert_eq!(counted(&shop).await, []);
    let [_new, held, late, done] =
        [shop.place().await, shop.place().await, shop.place().await, shop.place().await];
    for order in [held, late, done] {
        shop.consumer.process_batch(&[shop.say(order, &reserved(order))]).await.unwrap();
    }
    shop.consumer.process_batch(&[shop.say(done, &paid(done, 500))]).await.unwrap();
    // From now on placed in the far future, and so not overdue.
    shop.clock.advance(Duration::days(100 * 365));
    shop.place().await;
    let found = counted(&shop).await;
    let numbers: Vec<_> =
        found.iter().map(|count| (count.held, count.orders, count.overdue)).collect();
    assert_eq!(numbers, [(false, 2, 1), (true, 2, 2)]);
    assert!(found.iter().all(|open_count| open_count.age > 60.0), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_reads_neither_the_orders_nor_their_history_in_whole() {
    let shop = Shop::open().await;
    // One connection, so that what it did is told before it is asked; and nobody else's.
    let options = shop.pool.connect_options();
    shop.pool.close().await;
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    // What others did here is told when they go, or later.
    until("nobody else is connected", async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT count(*) = 1 FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap()
    })
    .await;
    conn.execute(
        "INSERT INTO orders (order_id, stage, lines, total_minor, currency, placed_at, due_at,
                                 confirmed_at, said)
             SELECT gen_random_uuid(), CASE WHEN n % 20 = 0 THEN 'pending' ELSE 'confirmed' END,
                    '[]', 1, 'EUR', now(), now(), now(), 1
             FROM generate_series(1, 20000) AS n;
             INSERT INTO order_history (order_id, message_id, source, what, happened_at)
             SELECT order_id, gen_random_uuid(), 'x', 'stock-reserved', now() FROM orders;
             INSERT INTO order_history (order_id, message_id, source, what, happened_at)
             SELECT order_id, gen_random_uuid(), 'x', 'order-placed', now() FROM orders;
             ANALYZE orders; ANALYZE order_history",
    )
    .await
    .unwrap();
    let mut read_in_whole = Vec::new();
    for look in [false, true] {
        if look {
            let found = open::count(&mut conn, Uuid::nil(), 10_000).await.unwrap();
            assert_eq!(found.iter().map(|open_count| open_count.orders).sum::<i64>(), 1_000);
        }
        conn.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
        let tables: Vec<(String, i64)> = sqlx::query_as(
            "SELECT relname::text, seq_scan FROM pg_stat_user_tables
             WHERE relname IN ('orders', 'order_history') ORDER BY relname",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        read_in_whole.push(tables);
    }
    assert_eq!(read_in_whole[0].len(), 2);
    assert_eq!(read_in_whole[0], read_in_whole[1]);
}

/// The pages that a sample reads while an old snapshot is open, once the sampler has seen these
/// tables before: of orders that were placed and ended an hour ago, and two that are open.
async fn pages(ended: i64) -> i64 {
    let shop = Shop::open().await;
    shop.pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let mut reader = db::begin(&shop.pool).await.unwrap();
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    reader.execute("SELECT 1").await.unwrap();
    sqlx::query(
        "INSERT INTO orders (order_id, stage, lines, total_minor, currency, placed_at, due_at, said)
         SELECT uuidv7(-CASE WHEN n > $1 THEN interval '90 s' ELSE interval '1 h' END), 'pending', '[]', 1,
                'EUR', now(), now() + CASE WHEN n > $1 THEN interval '1 h' ELSE interval '-1 h' END, 1
         FROM generate_series(1, $1 + 2) AS n",
    )
    .bind(ended)
    .execute(&shop.pool)
    .await
    .unwrap();
    shop.pool
        .execute("UPDATE orders SET stage = 'confirmed', confirmed_at = now() WHERE due_at < now()")
        .await
        .unwrap();
    let sampler = SamplerLoop::new(shop.pool.clone(), OpenOrders::default());
    assert!(sampler.step().await);
    shop.pool
        .execute(
            "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database
             WHERE datname = current_database()",
        )
        .await
        .unwrap();
    assert!(sampler.step().await);
    let pages = sqlx::query_scalar(
        "SELECT sum(shared_blks_hit + shared_blks_read)::int8 FROM pg_stat_statements
         JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = current_database() AND query LIKE '%AS heard (reserved)%'
           AND query NOT LIKE '%blks_hit%'",
    );
    let pages: i64 = pages.fetch_one(&shop.pool).await.unwrap();
    reader.rollback().await.unwrap();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_costs_what_is_open_and_not_what_has_ended() {
    let [few, many] = [pages(1_000).await, pages(100_000).await];
    assert!(few > 0);
    assert!(many <= few * 3 / 2 + 20, "{few} pages beside few that have ended, {many} beside many");
}
