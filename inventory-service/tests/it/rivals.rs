//! Two transactions that want the same rows at the same time.

use devstack::until;
use inventory_service::{
    domain::{
        inventory::InventoryCommand,
        naming::{OrderId, OrderLines, Quantity},
        reservation,
    },
    request::StockRequest,
};
use shared::db;

use crate::kit::{House, new_order, sku};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_consumers_that_want_the_same_products_neither_deadlock_nor_oversell() {
    const ROUNDS: usize = 40;
    let house = House::new().await;
    house.stock(&[("a", 100), ("b", 100), ("c", 100)]).await;
    let orders = |lines: [&'static str; 3]| {
        let each = |sku| house.placed(new_order(), &[(sku, 1)]);
        (0..ROUNDS).map(|_| lines.map(each)).collect::<Vec<_>>()
    };
    let (there, back) = (orders(["a", "b", "c"]), orders(["c", "b", "a"]));
    let work = async |batches: Vec<[shared::message::IncomingMessage; 3]>| {
        let consumer = house.consumer();
        for batch in batches {
            consumer.take_in(&batch).await.unwrap();
        }
    };
    let more = orders(["b", "c", "a"]);

    tokio::join!(work(there), work(back), work(more));

    for sku in ["a", "b", "c"] {
        assert_eq!(house.counts(sku).await, (0, 100, 0), "{sku}");
    }
    let said = house.said().await;
    let on = |topic: &str| said.iter().filter(|message| message.topic == topic).count();
    assert_eq!((on("stock-reserved"), on("stock-rejected")), (300, 60));
    house.assert_adds_up().await;
}

#[tokio::test]
async fn a_reservation_that_two_transactions_make_at_once_is_made_by_one_and_seen_by_the_other() {
    let house = House::new().await;
    house.stock(&[("lamp", 10)]).await;
    let order = new_order();
    let reserve = StockRequest {
        command: InventoryCommand::Reservation {
            order: OrderId(order),
            command: reservation::ReservationCommand::Reserve {
                lines: OrderLines::new([(sku("lamp"), Quantity::ONE)]).unwrap(),
            },
        },
        trace: None,
    };
    let mut first = db::begin(&house.pool).await.unwrap();
    house.app.execute(&mut first, &[reserve]).await.unwrap();
    let consumer = house.consumer();
    let cancelled = house.cancelled(order);
    let pool = house.pool.clone();

    let commit_once_awaited = async move {
        until("the second transaction waits for the first", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            waiting > 0
        })
        .await;
        first.commit().await.unwrap();
    };
    let batch = [cancelled];
    let (second, ()) = tokio::join!(consumer.take_in(&batch), commit_once_awaited);

    assert!(second.is_err_and(|fault| fault.is_collision()), "it did not know of the reservation");
    assert_eq!(house.counts("lamp").await, (9, 1, 0));
    consumer.take_in(&batch).await.unwrap();
    assert_eq!(house.counts("lamp").await, (10, 0, 0));
    assert_eq!(house.stages().await[&order], "released");
    house.assert_adds_up().await;
}
