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

use crate::kit::{TestService, new_order, sku};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_consumers_that_want_the_same_products_neither_deadlock_nor_oversell() {
    const ROUNDS: usize = 40;
    let service = TestService::new().await;
    service.stock(&[("a", 100), ("b", 100), ("c", 100)]).await;
    let orders = |lines: [&'static str; 3]| {
        let each = |sku| service.placed(new_order(), &[(sku, 1)]);
        (0..ROUNDS).map(|_| lines.map(each)).collect::<Vec<_>>()
    };
    let (there, back) = (orders(["a", "b", "c"]), orders(["c", "b", "a"]));
    let work = async |batches: Vec<[shared::message::IncomingMessage; 3]>| {
        let consumer = service.consumer();
        for batch in batches {
            consumer.process_batch(&batch).await.unwrap();
        }
    };
    let more = orders(["b", "c", "a"]);

    tokio::join!(work(there), work(back), work(more));

    for sku in ["a", "b", "c"] {
        assert_eq!(service.counts(sku).await, (0, 100, 0), "{sku}");
    }
    let said = service.said().await;
    let on = |topic: &str| said.iter().filter(|message| message.topic == topic).count();
    assert_eq!((on("stock-reserved"), on("stock-rejected")), (300, 60));
    service.assert_adds_up().await;
}

#[tokio::test]
async fn a_reservation_that_two_transactions_make_at_once_is_made_by_one_and_seen_by_the_other() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
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
    let mut first = db::begin(&service.pool).await.unwrap();
    service.app.execute(&mut first, &[reserve]).await.unwrap();
    let consumer = service.consumer();
    let cancelled = service.cancelled(order);
    let pool = service.pool.clone();

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
    let (second, ()) = tokio::join!(consumer.process_batch(&batch), commit_once_awaited);

    assert!(second.is_err_and(|fault| fault.is_collision()), "it did not know of the reservation");
    assert_eq!(service.counts("lamp").await, (9, 1, 0));
    consumer.process_batch(&batch).await.unwrap();
    assert_eq!(service.counts("lamp").await, (10, 0, 0));
    assert_eq!(service.stages().await[&order], "released");
    service.assert_adds_up().await;
}
