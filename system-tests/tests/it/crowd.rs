//! Many orders at once, with every outcome; every invariant holds.

use sagactl::screen::ProgressBoard;
use xtask::{cluster::AuditExpectation, load};

use crate::stage;

fn load(orders: u64) -> load::LoadOptions {
    load::LoadOptions {
        orders,
        clients: Some(32),
        products: 20,
        limit_seconds: 300,
        ..load::LoadOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_orders_at_once_end_and_every_promise_is_kept() {
    let stage = stage::open().await;
    load::drive(&stage.cluster, None, &load(1_000), &ProgressBoard::new()).await.unwrap();
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders.values().sum::<i64>(), 1_000);
    assert!(report.orders["confirmed"] >= 800, "{:?}", report.orders);
    let told = report.topics.by_topic["order-placed"];
    let repeats = report.topics.repeats;
    assert!((1_000..=1_000 + repeats).contains(&told), "{told}, {repeats} repeats");
}
