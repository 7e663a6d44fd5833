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
async fn look((losses, lag): &mut (Losses, Lag)) -> Vec<Gap> {
    let (mut gaps, mut marks) = (vec![], 0);
    let mut patience = Patience::until("all transactions of before the mark have ended");
    loop {
        let step = losses.step().await.unwrap();
        lag.has_read_up_to(Instant::now());
        match step {
            Step::Looked(found) => gaps.extend(found),
            Step::Marked if marks > 0 => return gaps,
            Step::Marked => (),
            Step::Waiting => patience.look_again(Step::Waiting).await,
        }
        marks += 1;
    }
}

/// A transaction in which an entry was written that nobody sees yet.
async fn open_entry(shop: &Shop, order: Uuid) -> shared::db::Tx {
    let mut open = shared::db::begin(&shop.pool).await.unwrap();
    sqlx::query(
        "INSERT INTO order_history (order_id, message_id, source, what, happened_at)
         VALUES ($1, gen_random_uuid(), '/shop/others', 'stock-reserved', now())",
    )
    .bind(order)
    .execute(&mut *open)
    .await
    .unwrap();
    open
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
    let gaps = look(&mut check).await;
    let found: Vec<_> = gaps.iter().map(|it| (it.order_id, it.sequence, it.missing)).collect();
    assert_eq!(found, [(holed, 3, 2), (holed, 5, 1)]);
    assert_eq!(gaps[0].source, "/shop/others");
    // A second check, as after a restart, begins where the first one ended.
    shop.consumer.take_in(&[nth(&shop, holed, 6, &reserved(holed))]).await.unwrap();
    assert_eq!(look(&mut self::check(&shop)).await, []);
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
    assert_eq!(look(&mut (losses, lag)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_not_committed_yet_is_waited_for() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let (mut losses, lag) = check(&shop);
    let open = open_entry(&shop, order).await;
    shop.consumer.take_in(&[nth(&shop, order, 2, &paid(order, 500))]).await.unwrap();
    assert_eq!(losses.step().await.unwrap(), Step::Marked);
    lag.has_read_up_to(Instant::now());
    assert_eq!(losses.step().await.unwrap(), Step::Waiting);
    open.rollback().await.unwrap();
    assert_eq!(look(&mut (losses, lag)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_when_a_mark_is_set_is_waited_for() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let mut conn = shop.pool.acquire().await.unwrap();
    let open = open_entry(&shop, order).await;
    let mark = gaps::mark(&mut conn).await.unwrap();
    let later = open_entry(&shop, order).await;
    assert!(!gaps::is_settled(&mut conn, &mark).await.unwrap());
    open.rollback().await.unwrap();
    assert!(gaps::is_settled(&mut conn, &mark).await.unwrap(), "the later one is above it");
    later.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_another_database_holds_nothing_back() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let elsewhere = sqlx::PgPool::connect(&devstack::database("elsewhere").await).await.unwrap();
    let mut open = shared::db::begin(&elsewhere).await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *open).await.unwrap();
    let mut check = check(&shop);
    shop.consumer.take_in(&[nth(&shop, order, 2, &paid(order, 500))]).await.unwrap();
    assert_eq!(look(&mut check).await.len(), 1);
    open.rollback().await.unwrap();
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
    assert_eq!(look(&mut check).await, []);
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
    assert_eq!(look(&mut check).await, []);
}
