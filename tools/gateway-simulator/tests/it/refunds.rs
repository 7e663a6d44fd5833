//! A charge is refunded once, and never more than was charged.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::simulator::{Simulator, charge};

async fn charged(gateway: &Simulator) -> Value {
    gateway.charge("c", &charge("tok_visa", "order-1")).await.json()["id"].clone()
}

#[tokio::test]
async fn a_charge_is_refunded_in_parts_and_never_beyond_itself() {
    let gateway = Simulator::start().await;
    let id = charged(&gateway).await;
    let part = gateway.refund("r1", &json!({ "charge": id, "amount": 400 })).await;
    let object = part.json();
    assert!(object["id"].as_str().unwrap().starts_with("re_"));
    assert_eq!((&object["object"], &object["status"]), (&json!("refund"), &json!("succeeded")));
    assert_eq!((&object["charge"], &object["amount"]), (&id, &json!(400)));
    assert_eq!(object["currency"], "EUR");

    let too_much = gateway.refund("r2", &json!({ "charge": id, "amount": 601 })).await;
    assert_eq!((too_much.status, too_much.code().as_str()), (400, "amount_too_large"));
    let rest = gateway.refund("r2", &json!({ "charge": id })).await;
    assert_eq!((rest.status, &rest.json()["amount"]), (200, &json!(600)));
    let more = gateway.refund("r3", &json!({ "charge": id })).await;
    assert_eq!((more.status, more.code().as_str()), (400, "charge_already_refunded"));

    let now = gateway.get(&format!("/charges/{}", id.as_str().unwrap())).await.json();
    assert_eq!((&now["refunded"], &now["amount_refunded"]), (&json!(true), &json!(1000)));
    let summary = gateway.summary().await;
    assert_eq!((&summary["refunds"], &summary["net_amount"]), (&json!(2), &json!({ "EUR": 0 })));
}

#[tokio::test]
async fn refunds_at_once_stay_within_the_charge() {
    let gateway = Arc::new(Simulator::start().await);
    let id = charged(&gateway).await;
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let (gateway, body) = (Arc::clone(&gateway), json!({ "charge": id, "amount": 300 }));
        calls.spawn(async move { gateway.refund(&format!("r{number}"), &body).await.status });
    }
    let done = calls.join_all().await.into_iter().filter(|status| *status == 200).count();
    assert_eq!(done, 3);
    assert_eq!(gateway.summary().await["net_amount"], json!({ "EUR": 100 }));
}

#[tokio::test]
async fn what_is_unknown_cannot_be_refunded() {
    let gateway = Simulator::start().await;
    let unknown = gateway.refund("r", &json!({ "charge": "ch_unknown" })).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "resource_missing"));
    let id = charged(&gateway).await;
    for amount in [json!(0), json!(-1), json!("1")] {
        assert_eq!(
            gateway.refund("r", &json!({ "charge": id, "amount": amount })).await.status,
            400
        );
    }
    assert_eq!(gateway.refund("r", &json!({ "charge": id })).await.status, 200);
}

#[tokio::test]
async fn an_order_charged_twice_is_a_duplicate_until_one_charge_is_refunded() {
    let gateway = Simulator::start().await;
    let id = charged(&gateway).await;
    gateway.charge("c2", &charge("tok_visa", "order-1")).await;
    let duplicates = gateway.summary().await["duplicates"].clone();
    assert_eq!(duplicates, json!({ "count": 1, "order_ids": ["order-1"] }));
    gateway.refund("r", &json!({ "charge": id })).await;
    let duplicates = gateway.summary().await["duplicates"].clone();
    assert_eq!(duplicates, json!({ "count": 0, "order_ids": [] }));
}

#[tokio::test]
async fn a_disputed_charge_cannot_be_refunded() {
    let gateway = Simulator::start().await;
    let id =
        gateway.charge("c", &charge("tok_createDispute", "order-1")).await.json()["id"].clone();
    let refused = gateway.refund("r", &json!({ "charge": id })).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "charge_disputed"));
}
