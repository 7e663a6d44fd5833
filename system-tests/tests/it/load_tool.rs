//! What `xtask load` says of a load, compared with the load; and what it does where something is missing.

use sagactl::{http_client::http_client, screen::ProgressBoard};
use serde_json::Value;
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    load::{self, LoadOptions, WaitFor, order_times::LatencyKind, report::LoadReport},
};

use crate::stage::{self, Stage};

const ORDERS: u64 = 40;

async fn drive(stage: &Stage, options: &LoadOptions) -> LoadReport {
    load::drive(&stage.cluster, None, options, &ProgressBoard::new()).await.unwrap()
}

/// Every order has ended and was told of: one in twenty each is out of stock, declined, cancelled.
fn assert_adds_up(report: &LoadReport) {
    let each = ORDERS / 20;
    let outcomes = &report.outcomes;
    assert_eq!(outcomes.values().sum::<u64>(), ORDERS, "{outcomes:?}");
    assert_eq!(outcomes["cancelled, out-of-stock"], each);
    assert_eq!(outcomes["cancelled, payment-declined"], each);
    // A cancellation may come too late, when it is refused; nothing else ends another way.
    assert!(
        (ORDERS - 3 * each..=ORDERS - 2 * each).contains(&outcomes["confirmed"]),
        "{outcomes:?}"
    );
    let count = |kind| report.latency(kind).count;
    assert_eq!(count(LatencyKind::Accepted), ORDERS);
    assert_eq!(count(LatencyKind::Notified), ORDERS);
    // Both, where an order was confirmed and then cancelled.
    assert!(count(LatencyKind::Confirmed) >= outcomes["confirmed"]);
    assert!(count(LatencyKind::Confirmed) + count(LatencyKind::Cancelled) >= ORDERS);
    let rates = report.rates;
    assert!(rates.accepted >= rates.ended && rates.ended >= rates.whole, "{rates:?}");
    for order in &report.orders {
        assert!(order.since <= order.answered && Some(order.since) < order.ended(), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_sees_every_end_and_every_mail_and_its_numbers_add_up() {
    let stage = stage::open().await;
    let closed = LoadOptions {
        orders: ORDERS,
        warm_up: 10,
        clients: Some(8),
        products: 20,
        wait: WaitFor::End,
        repeats: 50,
        ..LoadOptions::default()
    };
    let report = drive(&stage, &closed).await;
    assert_adds_up(&report);
    assert!((10..=30).contains(&report.answers.repeats), "{:?}", report.answers);
    let costs = report.costs.as_ref().unwrap();
    assert!(costs.cpu_us["order-service"] > 0.0 && costs.peak_memory["order-service"] > 1_000_000);

    let open = LoadOptions { rate: Some(100.0), repeats: 0, wait: WaitFor::Answer, ..closed };
    let second = drive(&stage, &open).await;
    assert_adds_up(&second);
    // Requests are due at equal distances, whatever the answers.
    let mut due: Vec<u64> = second.orders.iter().map(|order| order.since).collect();
    due.sort_unstable();
    assert_eq!(due, (0..ORDERS).map(|n| n * 10_000).collect::<Vec<_>>());
    // The same numbers again are other orders: keys of two runs have nothing in common.
    let audit = stage.close(AuditExpectation::default()).await;
    assert_eq!(audit.orders.values().sum::<i64>(), 2 * (10 + 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_makes_the_products_that_are_missing_and_no_others() {
    let stage = stage::open().await;
    let options = LoadOptions { orders: 30, products: 30, ..LoadOptions::default() };
    drive(&stage, &options).await;
    let http = http_client().unwrap();
    let inventory = stage.cluster.url(ProcessName::Inventory);
    let stock = async |n: u32| {
        let url = format!("{inventory}/stock/load-{n:04}");
        let stock: Value = stage::answered(http.get(url)).await.json().await.unwrap();
        stock["stocked"].as_u64()
    };
    // The stage has twenty; more than one order was for one of the others.
    assert_eq!(stock(30).await, Some(100_000));
    assert_eq!(stock(31).await, None);
    drive(&stage, &options).await;
    assert!(stock(30).await.unwrap() < 100_010, "what is missing is delivered, and no more");
    stage.close(AuditExpectation::default()).await;
}
