//! Messages about orders, through the normal consumer path.

use contract::{MissingLine, StockLine, StockRejected, StockReleased, StockReserved};
use shared::consumer::BatchCounts;

use crate::kit::{TestService, envelope, new_order, outside};

fn fresh(n: usize) -> BatchCounts {
    BatchCounts { fresh: n, ..BatchCounts::default() }
}

#[tokio::test]
async fn an_order_that_is_placed_holds_its_lines() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10), ("chair", 5)]).await;
    let order = new_order();
    let placed = service.placed(order, &[("lamp", 2), ("chair", 1)]);

    let taken = service.consumer().process_batch(std::slice::from_ref(&placed)).await.unwrap();

    assert_eq!(taken, fresh(1));
    assert_eq!(service.counts("lamp").await, (8, 2, 0));
    assert_eq!(service.counts("chair").await, (4, 1, 0));
    let said = service.said().await;
    let said: Vec<_> = said.iter().filter(|message| message.topic == "stock-reserved").collect();
    assert_eq!(said.len(), 1);
    assert_eq!(outside(said[0]), ("stock-reserved".to_owned(), order.to_string(), 1));
    let record: StockReserved = service.read(said[0]).await;
    let line = |sku: &str, quantity| StockLine { sku: sku.to_owned(), quantity };
    assert_eq!(record.lines, [line("chair", 1), line("lamp", 2)]);
    let (asked, answered) =
        (placed.headers.text("traceparent"), envelope(said[0]).trace.unwrap().parent);
    let asked = shared::message::TraceParent::parse(asked.unwrap().unwrap()).unwrap();
    assert_eq!(asked.trace_id(), answered.trace_id());
    service.assert_adds_up().await;
}

#[tokio::test]
async fn an_order_with_one_line_short_holds_nothing_and_is_told_what_there_was() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10), ("chair", 1)]).await;
    let order = new_order();
    let lines = [("lamp", 2), ("chair", 3), ("unheard-of", 1)];

    service.consumer().process_batch(&[service.placed(order, &lines)]).await.unwrap();

    assert_eq!(service.counts("lamp").await, (10, 0, 0));
    assert_eq!(service.stages().await[&order], "rejected");
    let said = service.said().await;
    let record: StockRejected = service.read(said.last().unwrap()).await;
    let missing =
        |sku: &str, requested, available| MissingLine { sku: sku.to_owned(), requested, available };
    assert_eq!(record.missing, [missing("chair", 3, 1), missing("unheard-of", 1, 0)]);
    service.assert_adds_up().await;
}

#[tokio::test]
async fn a_confirmed_order_is_sold_and_a_cancelled_one_is_taken_back() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let (kept, returned) = (new_order(), new_order());
    let consumer = service.consumer();

    let place = [service.placed(kept, &[("lamp", 2)]), service.placed(returned, &[("lamp", 3)])];
    consumer.process_batch(&place).await.unwrap();
    consumer.process_batch(&[service.confirmed(kept), service.confirmed(returned)]).await.unwrap();
    assert_eq!(service.counts("lamp").await, (5, 0, 5));
    consumer.process_batch(&[service.cancelled(returned)]).await.unwrap();

    assert_eq!(service.counts("lamp").await, (8, 0, 2));
    let said = service.said().await;
    let last = said.last().unwrap();
    assert_eq!(outside(last), ("stock-released".to_owned(), returned.to_string(), 2));
    let record: StockReleased = service.read(last).await;
    assert_eq!(record.lines, [StockLine { sku: "lamp".to_owned(), quantity: 3 }]);
    service.assert_adds_up().await;
}

#[tokio::test]
async fn three_hundred_orders_for_one_product_write_its_row_once() {
    let service = TestService::new().await;
    service.stock(&[("hot", 200)]).await;
    let batch: Vec<_> = (0..300).map(|_| service.placed(new_order(), &[("hot", 1)])).collect();

    let taken = service.consumer().process_batch(&batch).await.unwrap();

    assert_eq!(taken, fresh(300));
    assert_eq!(service.counts("hot").await, (0, 200, 0));
    let version: i64 = sqlx::query_scalar("SELECT version FROM products WHERE sku = 'hot'")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(version, 2, "made once, written once");
    let said = service.said().await;
    let on = |topic: &str| said.iter().filter(|message| message.topic == topic).count();
    assert_eq!((on("stock-reserved"), on("stock-rejected")), (200, 100));
    // First come, first served: the batch's order is the order of the answers.
    assert!(said[1..=200].iter().all(|message| message.topic == "stock-reserved"));
    service.assert_adds_up().await;
}

#[tokio::test]
async fn a_cancellation_that_is_read_first_fences_the_order() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let (apart, together) = (new_order(), new_order());
    let consumer = service.consumer();

    consumer.process_batch(&[service.cancelled(apart)]).await.unwrap();
    consumer.process_batch(&[service.placed(apart, &[("lamp", 1)])]).await.unwrap();
    let batch = [service.cancelled(together), service.placed(together, &[("lamp", 1)])];
    consumer.process_batch(&batch).await.unwrap();

    assert_eq!(service.counts("lamp").await, (10, 0, 0));
    let stages = service.stages().await;
    assert_eq!((&*stages[&apart], &*stages[&together]), ("fenced", "fenced"));
    let said = service.said().await;
    assert!(
        said.iter().all(|message| message.topic == "product-changed"),
        "nothing is said of them"
    );
    service.assert_adds_up().await;
}

#[tokio::test]
async fn a_whole_life_within_one_batch_leaves_nothing_held() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let order = new_order();
    let life =
        [service.placed(order, &[("lamp", 4)]), service.confirmed(order), service.cancelled(order)];

    service.consumer().process_batch(&life).await.unwrap();

    assert_eq!(service.counts("lamp").await, (10, 0, 0));
    assert_eq!(service.stages().await[&order], "released");
    let said: Vec<_> = service.said().await.iter().map(outside).collect();
    let key = order.to_string();
    assert_eq!(
        said[1..],
        [("stock-reserved".to_owned(), key.clone(), 1), ("stock-released".to_owned(), key, 2)]
    );
    service.assert_adds_up().await;
}

#[tokio::test]
async fn what_is_delivered_again_does_nothing() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let order = new_order();
    let batch = [service.placed(order, &[("lamp", 4)]), service.confirmed(order)];
    let consumer = service.consumer();

    consumer.process_batch(&batch).await.unwrap();
    let said = service.said().await;
    let again = consumer.process_batch(&batch).await.unwrap();

    assert_eq!(again, BatchCounts { repeats: 2, ..BatchCounts::default() });
    assert_eq!(service.counts("lamp").await, (6, 0, 4));
    assert_eq!(service.said().await, said);
}

#[tokio::test]
async fn a_confirmation_of_what_was_never_reserved_is_a_dead_letter_and_the_rest_goes_on() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let (never, fenced, good) = (new_order(), new_order(), new_order());
    let batch = [
        service.confirmed(never),
        service.cancelled(fenced),
        service.confirmed(fenced),
        service.placed(good, &[("lamp", 1)]),
    ];

    let taken = service.consumer().process_batch(&batch).await.unwrap();

    assert_eq!(taken, BatchCounts { fresh: 2, dead: 2, ..BatchCounts::default() });
    assert_eq!(service.counts("lamp").await, (9, 1, 0));
    let reasons: Vec<_> = service.dead().await.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["contradiction", "contradiction"]);
    let stages = service.stages().await;
    assert_eq!(stages.get(&never), None);
    service.assert_adds_up().await;
}

#[tokio::test]
async fn a_body_that_asks_for_what_cannot_be_is_a_dead_letter() {
    let service = TestService::new().await;
    service.stock(&[("lamp", 10)]).await;
    let batch = [
        service.placed(new_order(), &[]),
        service.placed(new_order(), &[("lamp", 0)]),
        service.placed(new_order(), &[("lamp", 1), ("lamp", 1)]),
        service.placed(new_order(), &[("a lamp", 1)]),
        service.placed(new_order(), &[("lamp", 1)]),
    ];

    let taken = service.consumer().process_batch(&batch).await.unwrap();

    assert_eq!(taken, BatchCounts { fresh: 1, dead: 4, ..BatchCounts::default() });
    assert!(service.dead().await.iter().all(|(reason, _)| reason == "body"));
    assert_eq!(service.counts("lamp").await, (9, 1, 0));
}
