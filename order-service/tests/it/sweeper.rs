//! Orders that have not ended when they are due, by the database's clock.

use futures_util::future::join_all;
use order_service::{
    store,
    sweeper::{DeadlineSweeper, SweeperParts, SweeperSettings, SweeperStep},
};
use shared::{
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    lag::{GroupLag, LagCause, PartitionStanding, TopicPartition},
    telemetry,
};
use sqlx::Executor as _;
use time::Duration;
use tokio::time::Instant;

use crate::{kit::Shop, words::paid};

/// Longer than any test stands still.
const BEHIND_MAX: std::time::Duration = std::time::Duration::from_hours(1);

/// The clock of these tests stands in the past, so what is placed is overdue at once.
fn sweeper(shop: &Shop, lag: &GroupLag, batch_max: i64) -> DeadlineSweeper {
    sweeper_saying(shop, lag, batch_max, &ProcessHealth::default())
}

fn sweeper_saying(
    shop: &Shop,
    lag: &GroupLag,
    batch_max: i64,
    health: &ProcessHealth,
) -> DeadlineSweeper {
    let parts = SweeperParts {
        pool: shop.pool.clone(),
        app: shop.app.clone(),
        wakers: WorkerWakers::default(),
        lag: lag.clone(),
        health: health.component("sweeper"),
    };
    DeadlineSweeper::new(
        parts,
        SweeperSettings { batch_max, behind_max: BEHIND_MAX, ..SweeperSettings::default() },
    )
}

fn caught_up() -> GroupLag {
    let lag = GroupLag::default();
    lag.has_read_up_to(Instant::now());
    lag
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_swept_is_counted_once() {
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let timed_out = || -> u32 {
        let series = "orders_total{outcome=\"cancelled\",reason=\"timed-out\"} ";
        let page = metrics.render();
        page.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).unwrap_or(0)
    };
    let shop = Shop::open().await;
    shop.place().await;
    let before = timed_out();
    let sweeper = sweeper(&shop, &caught_up(), 10);
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Swept(1));
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Idle);
    assert_eq!(timed_out() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn overdue_orders_are_cancelled_in_batches_and_nothing_else_is() {
    let shop = Shop::open().await;
    let mut overdue = vec![];
    for _ in 0..5 {
        overdue.push(shop.place().await);
    }
    let ended = shop.place().await;
    shop.consumer.process_batch(&[shop.say(ended, &paid(ended, 500))]).await.unwrap();
    shop.clock.advance(Duration::days(100 * 365));
    let young = shop.place().await;

    let sweeper = sweeper(&shop, &caught_up(), 2);
    let mut steps = vec![];
    for _ in 0..4 {
        steps.push(sweeper.step().await.unwrap());
    }
    assert_eq!(
        steps,
        [SweeperStep::Swept(2), SweeperStep::Swept(2), SweeperStep::Swept(1), SweeperStep::Idle]
    );
    for order in overdue {
        assert_eq!(shop.stands(order).await, "cancelled: timed-out");
        let said = [("order-placed".to_owned(), 1), ("order-cancelled".to_owned(), 2)];
        assert_eq!(shop.said(order).await, said);
    }
    assert_eq!(shop.stands(ended).await, "confirmed");
    assert_eq!(shop.stands(young).await, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_cancelled_while_we_are_behind_ourselves() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let lag = GroupLag::default();
    let health = ProcessHealth::default();
    let sweeper = sweeper_saying(&shop, &lag, 10, &health);
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::HeldBack);
    assert_eq!(shop.stands(order).await, "pending");
    let says = || health.report()["sweeper"].clone().unwrap();
    assert!(says().ends_with("nothing is known yet"), "{}", says());
    let at = TopicPartition { topic: "payment-done".into(), partition: 4 };
    let standing = PartitionStanding { committed: Some(7), end: 9, ..PartitionStanding::default() };
    lag.is_behind(Some(LagCause::Unread { at, standing }));
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::HeldBack);
    assert!(says().ends_with("payment-done/4 is read up to offset 7 of 9"), "{}", says());
    // The answer had been there all the time.
    shop.consumer.process_batch(&[shop.say(order, &paid(order, 500))]).await.unwrap();
    lag.has_read_up_to(Instant::now());
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Idle);
    assert_eq!(shop.stands(order).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_read_for_long_holds_back() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let lag = GroupLag::default();
    let long_ago = BEHIND_MAX + std::time::Duration::from_secs(1);
    lag.has_read_up_to(Instant::now().checked_sub(long_ago).unwrap());
    assert_eq!(sweeper(&shop, &lag, 10).step().await.unwrap(), SweeperStep::HeldBack);
    assert_eq!(shop.stands(order).await, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_overdue_once_everything_that_was_said_by_then_is_read() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    // Before the other clock is asked, however long that takes.
    let long_ago = Instant::now().checked_sub(BEHIND_MAX / 2).unwrap();
    sqlx::query("UPDATE orders SET due_at = now() - interval '20 minutes'")
        .execute(&shop.pool)
        .await
        .unwrap();
    let lag = GroupLag::default();
    let sweeper = sweeper(&shop, &lag, 10);
    lag.has_read_up_to(long_ago);
    assert_eq!(
        sweeper.step().await.unwrap(),
        SweeperStep::Idle,
        "an answer of in between may lie unread"
    );
    lag.has_read_up_to(Instant::now());
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Swept(1));
    assert_eq!(shop.stands(order).await, "cancelled: timed-out");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_somebody_works_on_is_left_for_the_next_time() {
    let shop = Shop::open().await;
    let [busy, free] = [shop.place().await, shop.place().await];
    let sweeper = sweeper(&shop, &caught_up(), 10);
    let mut elsewhere = db::begin(&shop.pool).await.unwrap();
    store::lock(&mut elsewhere, &[busy]).await.unwrap();
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Swept(1));
    assert_eq!(shop.stands(free).await, "cancelled: timed-out");
    elsewhere.rollback().await.unwrap();
    assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Swept(1));
    assert_eq!(shop.stands(busy).await, "cancelled: timed-out");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sweepers_cancel_each_order_once() {
    let shop = Shop::open().await;
    let mut orders = vec![];
    for _ in 0..20 {
        orders.push(shop.place().await);
    }
    let sweepers: Vec<_> = (0..4).map(|_| sweeper(&shop, &caught_up(), 3)).collect();
    let sweep = async |deadline_sweeper: &DeadlineSweeper| {
        while deadline_sweeper.step().await.unwrap() != SweeperStep::Idle {}
    };
    join_all(sweepers.iter().map(sweep)).await;
    for order in orders {
        assert_eq!(shop.said(order).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_does_not_walk_over_orders_that_ended_under_an_old_snapshot() {
    let shop = Shop::open().await;
    shop.pool.execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let mut reader = db::begin(&shop.pool).await.unwrap();
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    reader.execute("SELECT 1").await.unwrap();
    let turn_over = "
        INSERT INTO orders (order_id, stage, lines, total_minor, currency, placed_at, due_at, said)
        SELECT gen_random_uuid(), 'pending', '[]', 1, 'EUR', now(), now() - interval '1 hour', 1
        FROM generate_series(1, 20000);
        UPDATE orders SET stage = 'confirmed', confirmed_at = now()";
    shop.pool.execute(turn_over).await.unwrap();
    let sweeper = sweeper(&shop, &caught_up(), 10);
    let pages = async || {
        let reset = "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database
                     WHERE datname = current_database()";
        shop.pool.execute(reset).await.unwrap();
        assert_eq!(sweeper.step().await.unwrap(), SweeperStep::Idle);
        sqlx::query_scalar::<_, i64>(
            "SELECT sum(shared_blks_hit + shared_blks_read)::int8 FROM pg_stat_statements
             JOIN pg_database ON pg_database.oid = dbid
             WHERE datname = current_database() AND query LIKE '%SKIP LOCKED%'
               AND query NOT LIKE '%blks_hit%'",
        )
        .fetch_one(&shop.pool)
        .await
        .unwrap()
    };
    let (first, second) = (pages().await, pages().await);
    assert!(first > 200, "the dead rows are not there, and nothing was tried: {first}");
    assert!(second < 50, "{second} pages, after {first}");
    reader.rollback().await.unwrap();
}
