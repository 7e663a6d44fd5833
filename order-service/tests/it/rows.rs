//! The rows of orders: a row is written only over the version that was read.

use order_service::{domain::order::OrderCommand, request::OrderRequest, store};
use shared::{db, fault::Fault};
use sqlx::Executor as _;

use crate::kit::{NOW, Shop, WINDOW};

fn cancel(order: &OrderRequest) -> OrderRequest {
    OrderRequest { command: OrderCommand::Cancel { now: NOW, window: WINDOW }, ..order.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_placed_and_cancelled_by_one_batch_is_one_row() {
    let shop = Shop::open().await;
    let placed = shop.placement().await;
    let outcome = shop.execute(&[placed.clone(), cancel(&placed)]).await.unwrap();
    assert!(outcome.answers.iter().all(Result::is_ok));
    assert_eq!(shop.stands(placed.order_id).await, "cancelled: requested");
    let said = [("order-placed".to_owned(), 1), ("order-cancelled".to_owned(), 2)];
    assert_eq!(shop.said(placed.order_id).await, said);
    let versions: Vec<(i64, i64)> =
        sqlx::query_as("SELECT said, version FROM orders").fetch_all(&shop.pool).await.unwrap();
    assert_eq!(versions, [(2, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_under_an_id_that_is_taken_is_not_stored_and_may_be_tried_again() {
    let shop = Shop::open().await;
    let placed = shop.placement().await;
    shop.execute(std::slice::from_ref(&placed)).await.unwrap();
    let again = shop.execute(std::slice::from_ref(&placed)).await;
    assert!(matches!(again, Err(Fault::Transient(_))), "{again:?}");
    assert_eq!(shop.said(placed.order_id).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_written_over_another_version_than_was_read() {
    let shop = Shop::open().await;
    let order = shop.placement().await;
    shop.execute(std::slice::from_ref(&order)).await.unwrap();
    let mut tx = db::begin(&shop.pool).await.unwrap();
    let requests = [cancel(&order)];
    let mut rows = store::load_for_update(&mut tx, &requests).await.unwrap();
    rows.locked.decide(requests.iter().map(|request| (&request.order_id, &request.command)));
    tx.execute("UPDATE orders SET version = version + 1").await.unwrap();
    let saved = store::save(&mut tx, &rows).await;
    assert!(matches!(saved, Err(Fault::Transient(_))), "{saved:?}");
}
