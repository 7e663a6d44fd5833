//! The REST API of payments.

use std::path::Path;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use payment_service::http::{document, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    kit::{PATIENCE, Payments},
    simulator::Simulator,
};

async fn get(payments: &Payments, path: &str) -> (StatusCode, Value) {
    let limits = shared::http::HttpSettings {
        request_limit: PATIENCE,
        ..shared::http::HttpSettings::default()
    };
    let router = router(payments.pool.clone(), &limits);
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_payment_is_shown_without_its_means() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_visa").await;
    payments.charges(&gateway.url).step().await.unwrap();
    let (status, body) = get(&payments, &format!("/payments/{order_id}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["order_id"], json!(order_id));
    assert_eq!(body["stage"], "done");
    assert_eq!(body["amount"], json!({ "minor": 4_200, "currency": "EUR" }));
    assert_eq!(body["charge"]["amount"], body["amount"]);
    assert_eq!(body["payment_method"], "tok_****");
    assert!(!body.to_string().contains("visa"));
}

#[tokio::test]
async fn a_declined_payment_says_why() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_expired").await;
    payments.charges(&gateway.url).step().await.unwrap();
    let (_, body) = get(&payments, &format!("/payments/{order_id}")).await;
    assert_eq!(body["failure"], json!({ "reason": "declined", "code": "expired_card" }));
    assert!(body.get("charge").is_none());
}

#[tokio::test]
async fn a_payment_that_nobody_heard_of_is_not_found() {
    let payments = Payments::start().await;
    let (status, body) = get(&payments, &format!("/payments/{}", Uuid::nil())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body["code"], "not-found");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let payments = Payments::start().await;
    for path in [
        "/payments/1",
        "/payments?stage=lost",
        "/payments?limit=0",
        "/payments?limit=201",
        "/payments?limit=-1",
        "/payments?cursor=1",
        "/payments?page=1",
    ] {
        let (status, body) = get(&payments, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(body["code"], "malformed-request", "{path}");
    }
}

#[tokio::test]
async fn payments_come_in_pages_newest_orders_first() {
    let payments = Payments::start().await;
    let mut orders = Vec::new();
    for _order in 0..5 {
        orders.push(payments.charging("tok_visa").await);
    }
    payments.process_batch(&[payments.others.cancelled(orders[1])]).await;
    orders.reverse();
    let mut seen = Vec::new();
    let mut path = "/payments?limit=2".to_owned();
    loop {
        let (status, page) = get(&payments, &path).await;
        assert_eq!(status, StatusCode::OK);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|value| value["order_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/payments?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, orders.iter().map(Uuid::to_string).collect::<Vec<_>>());
    let (_, page) = get(&payments, "/payments?stage=abandoned").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["order_id"], json!(orders[3]));
}

#[tokio::test]
async fn a_database_that_is_away_is_said() {
    let payments = Payments::start().await;
    payments.pool.close().await;
    let (status, body) = get(&payments, &format!("/payments/{}", Uuid::nil())).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["code"], "unavailable");
}

#[test]
fn the_committed_description_of_the_api_is_this_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = format!("{}\n", document().to_pretty_json().unwrap());
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed != now {
        std::fs::write(&file, now).unwrap();
        panic!("openapi.json was not up to date and is now: look at the change and commit it");
    }
}
