//! Every outcome of an order, over HTTP and Kafka.

use devstack::TestWait;
use sagactl::http_client::http_client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use xtask::{
    client::PlaceAnswer,
    cluster::{AuditExpectation, ProcessName},
};

use crate::stage::{self, Stage, answered, until};

const SKU: &str = "load-0001";

async fn ended(stage: &Stage, id: uuid::Uuid, status: &str, reason: Option<&str>, ways: &[&str]) {
    let order = stage.history(id, ways).await;
    assert_eq!((order.status.as_str(), order.reason.as_deref()), (status, reason), "{order:?}");
}

#[tokio::test]
async fn an_order_goes_each_way_to_its_end() {
    let stage = stage::open().await;

    let confirmed = stage.place(SKU, "tok_visa").await;
    let way =
        ["order-placed", "stock-reserved", "payment-done", "order-confirmed", "notification-sent"];
    ended(&stage, confirmed.id, "confirmed", None, &way).await;

    let short = stage.place("unobtainium", "tok_visa").await;
    let way = ["stock-rejected", "order-cancelled", "notification-sent"];
    ended(&stage, short.id, "cancelled", Some("out-of-stock"), &way).await;

    let declined = stage.place(SKU, "tok_chargeDeclined").await;
    let way = ["payment-failed", "order-cancelled", "stock-released", "notification-sent"];
    ended(&stage, declined.id, "cancelled", Some("payment-declined"), &way).await;

    let lost = stage.place(SKU, "tok_lost").await;
    ended(&stage, lost.id, "confirmed", None, &["payment-done", "notification-sent"]).await;

    let changed = stage.place(SKU, "tok_visa").await;
    stage.history(changed.id, &["order-confirmed"]).await;
    stage.cancel(changed.id).await;
    let way = ["order-cancelled", "stock-released", "payment-refunded", "notification-sent"];
    ended(&stage, changed.id, "cancelled", Some("requested"), &way).await;

    let hasty = stage.place(SKU, "tok_slow").await;
    stage.history(hasty.id, &["stock-reserved"]).await;
    stage.cancel(hasty.id).await;
    let way = ["order-cancelled", "stock-released", "notification-sent"];
    ended(&stage, hasty.id, "cancelled", Some("requested"), &way).await;

    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders["confirmed"], 2);
    assert_eq!(report.orders["cancelled"], 4);
}

#[tokio::test]
async fn one_key_is_one_order_however_often_it_is_sent() {
    let stage = stage::open().await;
    let wish = stage::wish(SKU, "tok_visa");
    let posts = (0..50).map(|_| stage.orders.place("the-one-key", &wish));
    let mut ids = Vec::new();
    for answer in futures_util::future::join_all(posts).await {
        match answer {
            Ok(PlaceAnswer::Accepted(order)) => ids.push(order.id),
            Ok(PlaceAnswer::Refused(status, _)) => assert_eq!(status, 409),
            // Still busy, or no answer: asked again.
            Ok(PlaceAnswer::Busy(_)) | Err(_) => (),
        }
    }
    let once_more = stage.answer("the-one-key", &wish).await;
    let PlaceAnswer::Accepted(order) = once_more else { panic!("{once_more:?}") };
    ids.push(order.id);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = stage::wish(SKU, "tok_mastercard");
    let answer = stage.answer("the-one-key", &other).await;
    let PlaceAnswer::Refused(status, problem) = answer else { panic!("{answer:?}") };
    assert_eq!((status.as_u16(), problem["status"].as_u64()), (422, Some(422)));
    stage.history(ids[0], &["notification-sent"]).await;
    assert_eq!(stage.close(AuditExpectation::default()).await.orders["confirmed"], 1);
}

#[tokio::test]
async fn a_customer_is_told_by_a_mail_with_a_stable_message_id() {
    let stage = stage::open().await;
    let order = stage.place(SKU, "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    let http = http_client().unwrap();
    let search = format!("{}/api/v1/search?query={}", stage.cluster.stack().mail_api, order.id);
    let mut patience = TestWait::until("the mail has arrived");
    let found = loop {
        let found: Value = answered(http.get(&search)).await.json().await.unwrap();
        if found["messages_count"] != 0 {
            break found;
        }
        patience.look_again("no mail").await;
    };
    assert_eq!(found["messages_count"], 1);
    let message_id = found["messages"][0]["MessageID"].as_str().unwrap();
    assert!(message_id.contains(&order.id.to_string()), "{message_id}");
    stage.close(AuditExpectation::default()).await;
}

#[tokio::test]
async fn every_service_is_alive_ready_and_measured_on_its_admin_port_only() {
    let mut stage = stage::open().await;
    let http = http_client().unwrap();
    let status = async |url: String| answered(http.get(url)).await.status().as_u16();
    for member in ProcessName::SERVICES {
        let (admin, public) = (stage.cluster.admin(member), stage.cluster.url(member));
        assert_eq!(status(format!("{admin}/livez")).await, 200, "{member}");
        stage.cluster.ready(member).await.unwrap();
        let metrics = stage.numbers(member).await;
        assert!(metrics.contains("http_requests_total"), "{member}: {metrics}");
        assert_eq!(status(format!("{admin}/dead-letters")).await, 200, "{member}");
        for closed in ["metrics", "dead-letters", "readyz"] {
            assert_eq!(status(format!("{public}/{closed}")).await, 404, "{member}: {closed}");
        }
        assert_eq!(status(format!("{public}/openapi.json")).await, 200, "{member}");
    }
    stage.close(AuditExpectation::default()).await;
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_confirmed_without_a_charge() {
    let stage = stage::open().await;
    let http = http_client().unwrap();
    let url = format!("{}/products/{SKU}", stage.cluster.url(ProcessName::Inventory));
    let free = json!({ "name": "Freebie", "price_minor": 0, "currency": "EUR" });
    assert!(answered(http.put(url).json(&free)).await.status().is_success());
    let products = format!("{}/products?limit=100", stage.cluster.url(ProcessName::Orders));
    until("the price is known where orders are placed", async || {
        let page: Value = answered(http.get(&products)).await.json().await.unwrap_or_default();
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items.iter().any(|value| value["sku"] == SKU && value["price"] == 0)
    })
    .await;

    let kept = stage.place(SKU, "tok_visa").await;
    ended(&stage, kept.id, "confirmed", None, &["payment-done", "notification-sent"]).await;
    let changed = stage.place(SKU, "tok_visa").await;
    stage.history(changed.id, &["order-confirmed"]).await;
    stage.cancel(changed.id).await;
    let way = ["order-cancelled", "stock-released", "notification-sent"];
    ended(&stage, changed.id, "cancelled", Some("requested"), &way).await;

    let summary = format!("{}/summary", stage.cluster.url(ProcessName::Gateway));
    let summary: Value = answered(http.get(summary)).await.json().await.unwrap();
    assert_eq!((&summary["attempts"], &summary["charges"]), (&json!(0), &json!(0)));
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!((report.orders["confirmed"], report.orders["cancelled"]), (1, 1));
}

#[tokio::test]
async fn what_is_set_for_those_who_ask_from_outside_holds_in_the_running_service() {
    let page = "https://shop.example";
    let settings = [("HTTP_CORS_ORIGINS", page), ("ORDER_TOTAL_MAX", "1")];
    let stage = stage::open_on(devstack::shared().await, &settings).await;
    let http = http_client().unwrap();
    let products = format!("{}/products", stage.cluster.url(ProcessName::Orders));
    let shown = answered(http.get(&products).header("origin", page)).await;
    assert_eq!(shown.headers()["access-control-allow-origin"], page);
    let answer = stage.answer("dear", &stage::wish(SKU, "tok_visa")).await;
    let PlaceAnswer::Refused(status, problem) = answer else { panic!("{answer:?}") };
    assert_eq!((status.as_u16(), &problem["errors"][0]["code"]), (422, &json!("total-too-large")));
    stage.close(AuditExpectation::default()).await;
}

/// A connection by which something was asked and, at least in part, answered.
async fn asked(server: &str, path: &str) -> TcpStream {
    let address = server.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_buf(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 200 ") && !answer.contains("connection:"), "{answer}");
    stream
}

async fn closed(mut stream: TcpStream) {
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_idle_for_no_longer_than_is_set_in_the_running_service() {
    let stage = stage::open_on(devstack::shared().await, &[("HTTP_IDLE_LIMIT", "6s")]).await;
    // The admin server keeps the default: its older connection would close first without 6 s.
    let operators = asked(&stage.cluster.admin(ProcessName::Orders), "/livez").await;
    let order = stage.place(SKU, "tok_visa").await;
    ended(&stage, order.id, "confirmed", None, &["notification-sent"]).await;
    let customers = asked(&stage.cluster.url(ProcessName::Orders), "/products").await;
    tokio::select! {
        biased;
        () = closed(customers) => (),
        () = closed(operators) => panic!("the connection was closed that had been idle for longer"),
    }
    stage.close(AuditExpectation::default()).await;
}
