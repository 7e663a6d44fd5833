//! The controls of a load run do the work that they claim to.

use xtask::controls::{ControlSize, PROGRAM, broker_control, database_control};

const SIZE: ControlSize = ControlSize { orders: 40, batch: 10 };

#[tokio::test(flavor = "multi_thread")]
async fn the_database_control_carries_orders_without_a_broker() {
    let stack = devstack::shared().await;
    let result = Box::pin(database_control::run(stack, SIZE)).await.unwrap();
    assert_eq!(result.orders, SIZE.orders);
    // Five for an order that is confirmed, fewer or more for others.
    assert!((4 * SIZE.orders..6 * SIZE.orders).contains(&result.messages), "{result:?}");
    assert!(result.cpu_per_order(PROGRAM).is_some(), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_control_reads_all_that_it_publishes() {
    let result = broker_control::run(devstack::shared().await, SIZE).await.unwrap();
    assert_eq!((result.orders, result.messages), (SIZE.orders, 5 * SIZE.orders));
    assert!(result.cpu_per_order(PROGRAM).is_some(), "{result:?}");
}
