//! Payments that no rule can decide: an operator decides with `sagactl payments`.

use reqwest::Url;
use sagactl::{
    http_client::http_client,
    payments::{PaymentAdmin, ReviewDecision},
};
use serde_json::Value;
use uuid::Uuid;
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::stage::{self, Stage, answered, insist, until};

/// The reasons of the reviews that the order's history shows.
async fn reviews(stage: &Stage, order_id: Uuid) -> Vec<String> {
    let url = format!("{}/orders/{order_id}", stage.cluster.url(ProcessName::Orders));
    let order: Value =
        answered(http_client().unwrap().get(url)).await.json().await.unwrap_or_default();
    let history = order["history"].as_array().cloned().unwrap_or_default();
    let shown = history.iter().filter(|entry| entry["what"] == "payment-under-review");
    let reason = |entry: &Value| {
        let reason = entry.get("reason").or_else(|| entry.get("detail"));
        reason.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    shown.map(reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_is_found_and_sent_back_by_an_operator() {
    let stage = stage::open().await;
    let url = |url: String| Url::parse(&url).unwrap();
    let cluster = &stage.cluster;
    let (public, admin) =
        (url(cluster.url(ProcessName::Payments)), url(cluster.admin(ProcessName::Payments)));
    let payments = PaymentAdmin::at(Some(public), Some(admin)).unwrap();
    let order = stage.place("load-0001", "tok_wrongAmount").await;
    let mut found = vec![];
    until("it waits for a person", async || {
        found = payments.list(Some("needs-review"), 10).await.unwrap_or_default().0;
        !found.is_empty()
    })
    .await;
    assert_eq!((found.len(), found[0].order_id), (1, order.id));
    assert_eq!(found[0].review.as_deref(), Some("wrong-amount"));
    let shown = stage.history(order.id, &["payment-under-review"]).await;
    assert_eq!(shown.status, "pending", "{shown:?}");
    assert_eq!(reviews(&stage, order.id).await, ["wrong-amount"]);

    for _twice in 0..2 {
        let decide = async || payments.review(order.id, ReviewDecision::Refund).await;
        insist("it is decided", decide).await;
    }
    let way = ["payment-failed", "order-cancelled", "payment-refunded", "notification-sent"];
    let order = stage.history(order.id, &way).await;
    assert_eq!(
        (order.status.as_str(), order.reason.as_deref()),
        ("cancelled", Some("payment-unavailable"))
    );
    let shown = insist("it is shown", async || payments.show(order.id).await).await;
    assert_eq!(shown.stage, "refunded");
    until("a decision that comes late is refused", async || {
        let late = payments.review(order.id, ReviewDecision::Accept).await.unwrap_err().to_string();
        late.starts_with("The payment does not wait for this decision")
    })
    .await;
    until("an unknown stage is refused", async || {
        payments.list(Some("lost"), 10).await.unwrap_err().to_string().contains("(400)")
    })
    .await;
    assert_eq!(reviews(&stage, order.id).await, ["wrong-amount"], "it stays in the history");
    stage.close(AuditExpectation::default()).await;
}
