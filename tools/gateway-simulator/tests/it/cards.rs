//! The effect of each card, and invalid requests.

use gateway_simulator::journal::{AttemptOutcome, JournalRecord};
use serde_json::json;

use crate::simulator::{Simulator, charge};

#[tokio::test]
async fn a_good_card_is_charged() {
    let gateway = Simulator::start().await;
    for (key, card) in [("k1", "tok_visa"), ("k2", "tok_mastercard")] {
        let answer = gateway.charge(key, &charge(card, "order-1")).await;
        assert_eq!(answer.status, 200);
        let object = answer.json();
        assert!(object["id"].as_str().unwrap().starts_with("ch_"));
        assert!(object["created"].is_u64());
        let mut rest = object.clone();
        rest.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "created");
        let expected = json!({
            "object": "charge", "amount": 1000, "currency": "EUR", "status": "succeeded",
            "refunded": false, "amount_refunded": 0, "metadata": { "order_id": "order-1" },
        });
        assert_eq!(rest, expected);
        let path = format!("/charges/{}", object["id"].as_str().unwrap());
        assert_eq!(gateway.get(&path).await.json(), object);
    }
}

#[tokio::test]
async fn a_bad_card_is_declined_for_its_reason_and_charges_nothing() {
    let gateway = Simulator::start().await;
    let cards = [
        ("tok_chargeDeclined", "card_declined", "generic_decline"),
        ("tok_insufficientFunds", "card_declined", "insufficient_funds"),
        ("tok_expired", "expired_card", "expired_card"),
    ];
    for (card, code, decline_code) in cards {
        let answer = gateway.charge(card, &charge(card, "order-1")).await;
        assert_eq!(answer.status, 402);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "card_error");
        assert_eq!((&error["code"], &error["decline_code"]), (&json!(code), &json!(decline_code)));
        let declined = |record: &JournalRecord| matches!(record, JournalRecord::Decline(d) if d.key == card && d.decline_code == decline_code);
        assert!(gateway.records().iter().any(declined), "{card}");
    }
    let summary = gateway.summary().await;
    assert_eq!((&summary["charges"], &summary["declined"]), (&json!(0), &json!(3)));
}

#[tokio::test]
async fn the_wrong_amount_is_one_too_high() {
    let gateway = Simulator::start().await;
    let answer = gateway.charge("k", &charge("tok_wrongAmount", "order-1")).await;
    assert_eq!((answer.status, &answer.json()["amount"]), (200, &json!(1001)));
    assert_eq!(gateway.summary().await["net_amount"], json!({ "EUR": 1001 }));
}

#[tokio::test]
async fn a_lost_answer_is_there_for_the_retry() {
    let gateway = Simulator::start().await;
    let body = charge("tok_lost", "order-1");
    assert!(gateway.post("/charges", "k", &body).await.is_err());
    assert_eq!(gateway.charges_in_log(), 1);
    let retry = gateway.charge("k", &body).await;
    assert_eq!((retry.status, retry.is_replay()), (200, true));
    assert_eq!(gateway.charges_in_log(), 1);
    let outcomes: Vec<_> =
        gateway.attempts().iter().map(|a| (a.outcome, a.executed, a.replayed, a.status)).collect();
    let expected = [
        (AttemptOutcome::Dropped, true, false, None),
        (AttemptOutcome::Answered, false, true, Some(200)),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_senseless_request_is_refused_and_noted() {
    let gateway = Simulator::start().await;
    let with = |name: &str, value: serde_json::Value| {
        let mut body = charge("tok_visa", "order-1");
        body[name] = value;
        body
    };
    let bodies = [
        with("amount", json!(0)),
        with("amount", json!(-1)),
        with("amount", json!(1.5)),
        with("amount", json!(100_000_000_u64)),
        with("currency", json!("EURO")),
        with("currency", json!("E1R")),
        with("source", json!("tok_unknown")),
        with("metadata", json!({})),
        with("metadata", json!({ "order_id": "" })),
        with("ammount", json!(1)),
        json!([]),
    ];
    for body in &bodies {
        let answer = gateway.charge("k", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    let attempts = gateway.attempts();
    assert_eq!(attempts.len(), bodies.len());
    assert!(attempts.iter().all(|attempt| attempt.status == Some(400) && !attempt.executed));
    // Nothing was executed, so the key is still free.
    assert_eq!(gateway.charge("k", &charge("tok_visa", "order-1")).await.status, 200);
}
