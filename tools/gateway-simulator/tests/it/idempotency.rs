//! One key is one request and one answer.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::simulator::{Simulator, charge, until};

#[tokio::test]
async fn fifty_posts_at_once_with_one_key_are_one_charge() {
    let gateway = Arc::new(Simulator::start().await);
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let gateway = Arc::clone(&gateway);
        calls.spawn(async move { gateway.charge("k", &charge("tok_visa", "order-1")).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|a| a.status == 200 && a.bytes == answers[0].bytes));
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    assert_eq!(gateway.charges_in_log(), 1);
    assert_eq!(gateway.summary().await["charges"], 1);
    assert_eq!(gateway.attempts().iter().filter(|attempt| attempt.executed).count(), 1);
}

#[tokio::test]
async fn a_key_gets_its_answer_again_byte_for_byte() {
    let gateway = Simulator::start().await;
    for (key, card) in
        [("k1", "tok_visa"), ("k2", "tok_insufficientFunds"), ("k3", "tok_wrongAmount")]
    {
        let first = gateway.charge(key, &charge(card, "order-1")).await;
        let again = gateway.charge(key, &charge(card, "order-1")).await;
        assert!(!first.is_replay() && again.is_replay());
        assert_eq!((first.status, &first.bytes), (again.status, &again.bytes));
    }
    let charge_id = gateway.get("/charges?key=k1").await.json()["data"][0]["id"].clone();
    let first = gateway.refund("r1", &json!({ "charge": charge_id })).await;
    let again = gateway.refund("r1", &json!({ "charge": charge_id })).await;
    assert!(!first.is_replay() && again.is_replay());
    assert_eq!((first.status, &first.bytes), (200, &again.bytes));
    // The charge has changed since; its key's answer has not.
    let old = gateway.charge("k1", &charge("tok_visa", "order-1")).await;
    assert_eq!(old.json()["refunded"], false);
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let gateway = Simulator::start().await;
    let first = gateway.charge("k", &charge("tok_visa", "order-1")).await;
    let mut others = vec![charge("tok_mastercard", "order-1"), charge("tok_visa", "order-2")];
    let mut dearer = charge("tok_visa", "order-1");
    dearer["amount"] = json!(1001);
    others.push(dearer);
    for other in &others {
        let answer = gateway.charge("k", other).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["type"], "idempotency_error");
    }
    let as_refund = gateway.refund("k", &json!({ "charge": first.json()["id"] })).await;
    assert_eq!((as_refund.status, as_refund.code().as_str()), (400, "idempotency_key_reused"));
    assert_eq!(gateway.charges_in_log(), 1);
    // The order of the fields is not part of a body.
    let same =
        r#"{"source":"tok_visa","metadata":{"order_id":"order-1"},"currency":"eur","amount":1000}"#;
    let again = gateway.charge("k", &serde_json::from_str(same).unwrap()).await;
    assert!(again.is_replay());
}

#[tokio::test]
async fn a_key_in_progress_is_refused_until_it_is_executed() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "slow_ms": 500 })).await;
    let body = charge("tok_slow", "order-1");
    let _caller = gateway.send_charge("k", &body).await;
    gateway.until_taken().await;
    // The slow call may end between the two looks; then the retry finds its answer, never a second
    // charge.
    let retry = gateway.charge("k", &body).await;
    assert!(retry.status == 409 || retry.is_replay(), "{retry:?}");
    let kept = until("the slow charge", async || {
        let answer = gateway.charge("k", &body).await;
        (answer.status == 200).then_some(answer)
    });
    assert!(kept.await.is_replay());
    assert_eq!(gateway.charges_in_log(), 1);
}

#[tokio::test]
async fn a_held_key_is_refused_with_409_and_another_body_with_400() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "slow_ms": 600_000 })).await;
    let _caller = gateway.send_charge("k", &charge("tok_slow", "order-1")).await;
    gateway.until_in_progress(1).await;
    let same = gateway.charge("k", &charge("tok_slow", "order-1")).await;
    assert_eq!((same.status, same.code().as_str()), (409, "idempotency_key_in_use"));
    let other = gateway.charge("k", &charge("tok_visa", "order-1")).await;
    assert_eq!((other.status, other.code().as_str()), (400, "idempotency_key_reused"));
    assert_eq!(gateway.charges_in_log(), 0);
}

#[tokio::test]
async fn a_key_is_visible_ascii_of_at_most_255_characters() {
    let gateway = Simulator::start().await;
    let body = charge("tok_visa", "order-1");
    for key in ["", "two words", "ключ", "k".repeat(256).as_str()] {
        let answer = gateway.charge(key, &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "idempotency_key_invalid"),
            "{key:?}"
        );
    }
    let without = gateway.post_without_key("/charges", &body).await;
    assert_eq!((without.status, without.code().as_str()), (400, "idempotency_key_invalid"));
    assert_eq!(gateway.charges_in_log(), 0);
    assert_eq!(gateway.charge(&"k".repeat(255), &body).await.status, 200);
}
