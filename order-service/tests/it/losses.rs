//! A message that never came is counted once; one that is only late, or dead, is not.

use devstack::Patience;
use order_service::{
    losses::{Losses, Parts, Step},
    store::gaps::{self, Gap},
};
use shared::{contract::Record, lag::Lag, message::Incoming};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    kit::{NOW, Shop},
    words::{failed, paid, reserved},
};

/// A check, and what it is told of how far this service has read.
fn check(shop: &Shop) -> (Losses, Lag) {
    let lag = Lag::default();
    (Losses::new(Parts { pool: shop.pool.clone(), lag: lag.clone() }), lag)
}

/// Everything said up to now is read; looks until nothing new is there, and answers the gaps.
async fn look(shop: &Shop, (losses, lag): &mut (Losses, Lag)) -> Vec<Gap> {
    let (mut gaps, mut marks) = (vec![], 0);
    let mut patience = Patience::until("all transactions of before the mark have ended");
    loop {
        let step = losses.step().await.unwrap();
        lag.has_read_up_to(Instant::now());
        match step {
            Step::Looked(found) => gaps.extend(found),
            Step::Marked if marks > 0 => return gaps,
            Step::Marked => (),
            // Those of other databases, too, while other tests work there.
            Step::Waiting => patience.look_again(writing(shop).await).await,
        }
        marks += 1;
    }
}

/// The transactions that write something on this server, whatever the database.
async fn writing(shop: &Shop) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT backend_xid::text FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY 1",
    )
    .fetch_all(&shop.pool)
    .await
    .unwrap()
}

/// The n-th word of payment-service on this order.
fn nth<R: Record>(shop: &Shop, order_id: Uuid, n: i64, record: &R) -> Incoming {
    shop.says_of(&order_id.to_string(), n, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_below_one_that_came_is_lost_and_counted_once() {
    let shop = Shop::open().await;
    let [whole, holed] = [shop.place().await, shop.place().await];
    let mut check = check(&shop);
    let said = [
        nth(&shop, whole, 1, &reserved(whole)),
        nth(&shop, whole, 2, &paid(whole, 500)),
        nth(&shop, holed, 3, &reserved(holed)),
        nth(&shop, holed, 5, &paid(holed, 500)),
    ];
    shop.consumer.take_in(&said).await.unwrap();
    let gaps = look(&shop, &mut check).await;
    let found: Vec<_> = gaps.iter().map(|it| (it.order_id, it.sequence, it.missing)).collect();
    assert_eq!(found, [(holed, 3, 2), (holed, 5, 1)]);
    assert_eq!(gaps[0].source, "/shop/others");
    // A second check, as after a restart, begins where the first one ended.
    shop.consumer.take_in(&[nth(&shop, holed, 6, &reserved(holed))]).await.unwrap();
    assert_eq!(look(&shop, &mut self::check(&shop)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_after_a_later_one_is_not_lost() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let (mut losses, lag) = check(&shop);
    shop.consumer.take_in(&[nth(&shop, order, 2, &paid(order, 500))]).await.unwrap();
    assert_eq!(losses.step().await.unwrap(), Step::Marked);
    // What was said on another topic is not read yet.
    assert_eq!(losses.step().await.unwrap(), Step::Waiting);
    shop.consumer.take_in(&[nth(&shop, order, 1, &reserved(order))]).await.unwrap();
    lag.has_read_up_to(Instant::now());
    assert_eq!(look(&shop, &mut (losses, lag)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_not_committed_yet_is_waited_for() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let (mut losses, lag) = check(&shop);
    let mut open = shared::db::begin(&shop.pool).await.unwrap();
    sqlx::query("UPDATE products SET name = name").execute(&mut *open).await.unwrap();
    shop.consumer.take_in(&[nth(&shop, order, 2, &paid(order, 500))]).await.unwrap();
    assert_eq!(losses.step().await.unwrap(), Step::Marked);
    lag.has_read_up_to(Instant::now());
    assert_eq!(losses.step().await.unwrap(), Step::Waiting);
    open.rollback().await.unwrap();
    assert_eq!(look(&shop, &mut (losses, lag)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_when_a_mark_is_set_has_begun_before_it() {
    let shop = Shop::open().await;
    let mut conn = shop.pool.acquire().await.unwrap();
    // Others on this server may end just then, and hide a mark that is too low.
    for _ in 0..50 {
        let mut open = shared::db::begin(&shop.pool).await.unwrap();
        let sql = "SELECT pg_current_xact_id()::text::int8";
        let writer: i64 = sqlx::query_scalar(sql).fetch_one(&mut *open).await.unwrap();
        let mark = gaps::mark(&mut conn).await.unwrap();
        assert!(mark.begun > writer, "{mark:?}, {writer}");
        assert!(!gaps::is_settled(&mut conn, &mark).await.unwrap());
        open.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_dead_letter_is_not_lost() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let mut check = check(&shop);
    let said = [
        nth(&shop, order, 1, &paid(order, 500)),
        // The order is confirmed: this cannot have happened.
        nth(&shop, order, 2, &failed(order, "declined")),
        nth(&shop, order, 3, &reserved(order)),
    ];
    shop.consumer.take_in(&said).await.unwrap();
    assert_eq!(shop.dead().await.len(), 1);
    assert_eq!(look(&shop, &mut check).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_from_before_numbers_were_kept_are_no_gaps() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let old = shared::clock::Clock::fixed(NOW).new_id();
    sqlx::query(
        "INSERT INTO order_history (order_id, message_id, source, what, happened_at)
         VALUES ($1, $2, '/shop/others', 'stock-reserved', now())",
    )
    .bind(order)
    .bind(old)
    .execute(&shop.pool)
    .await
    .unwrap();
    let mut check = check(&shop);
    shop.consumer.take_in(&[nth(&shop, order, 2, &paid(order, 500))]).await.unwrap();
    assert_eq!(look(&shop, &mut check).await, []);
}
