//! Each fault, seen from the client and in the log.

use gateway_simulator::journal::AttemptOutcome;
use serde_json::json;

use crate::simulator::{Simulator, charge, rest_of, until};

/// The only attempt in the log: outcome, status, executed.
fn only_attempt(gateway: &Simulator) -> (AttemptOutcome, Option<u16>, bool) {
    let attempts = gateway.attempts();
    let [attempt] = attempts.as_slice() else { panic!("one attempt, not {attempts:?}") };
    assert_eq!(attempt.key.as_deref(), Some("k"));
    (attempt.outcome, attempt.status, attempt.executed)
}

/// After the faults are gone, the same charge with the same key settles it.
async fn settle(gateway: &Simulator) -> bool {
    gateway.reset_faults().await;
    let answer = gateway.charge("k", &charge("tok_visa", "order-1")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(gateway.charges_in_log(), 1);
    answer.is_replay()
}

#[tokio::test]
async fn a_refused_call_executes_nothing() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "refuse_rate": 1 })).await;
    let answer = gateway.charge("k", &charge("tok_visa", "order-1")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(gateway.get("/charges").await.status, 503);
    assert_eq!(only_attempt(&gateway), (AttemptOutcome::Refused, Some(503), false));
    assert_eq!(gateway.charges_in_log(), 0);
    assert!(!settle(&gateway).await);
}

#[tokio::test]
async fn an_error_after_comes_in_place_of_the_answer() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "error_after_rate": 1 })).await;
    let answer = gateway.charge("k", &charge("tok_visa", "order-1")).await;
    assert_eq!((answer.status, answer.is_replay()), (500, false));
    assert_eq!(answer.json()["error"]["type"], "api_error");
    assert_eq!(gateway.get("/charges").await.status, 500);
    assert_eq!(only_attempt(&gateway), (AttemptOutcome::Errored, Some(500), true));
    assert_eq!(gateway.charges_in_log(), 1);
    assert!(settle(&gateway).await);
}

#[tokio::test]
async fn a_drop_before_executes_nothing() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "drop_before_rate": 1 })).await;
    assert!(gateway.post("/charges", "k", &charge("tok_visa", "order-1")).await.is_err());
    assert!(gateway.try_get("/charges").await.is_err());
    assert_eq!(only_attempt(&gateway), (AttemptOutcome::Dropped, None, false));
    assert_eq!(gateway.charges_in_log(), 0);
    assert!(!settle(&gateway).await);
}

#[tokio::test]
async fn a_drop_after_has_executed() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "drop_after_rate": 1 })).await;
    assert!(gateway.post("/charges", "k", &charge("tok_visa", "order-1")).await.is_err());
    assert!(gateway.try_get("/charges").await.is_err());
    assert_eq!(only_attempt(&gateway), (AttemptOutcome::Dropped, None, true));
    assert_eq!(gateway.charges_in_log(), 1);
    assert!(settle(&gateway).await);
}

#[tokio::test]
async fn a_dropped_connection_is_closed_without_a_byte() {
    let gateway = Simulator::start().await;
    for fault in ["drop_before_rate", "drop_after_rate"] {
        gateway.switch(&json!({ fault: 1 })).await;
        let mut stream = gateway.send_charge(fault, &charge("tok_visa", "order-1")).await;
        assert_eq!(rest_of(&mut stream).await, b"");
    }
}

#[tokio::test]
async fn a_gateway_that_is_down_closes_every_connection_but_those_to_the_test_api() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "slow_ms": 600_000 })).await;
    let mut idle = gateway.connect().await;
    let mut busy = gateway.send_charge("slow", &charge("tok_slow", "order-2")).await;
    gateway.until_in_progress(1).await;

    gateway.switch(&json!({ "down": true })).await;
    for stream in [&mut idle, &mut busy] {
        assert_eq!(rest_of(stream).await, b"");
    }
    assert!(gateway.post("/charges", "k", &charge("tok_visa", "order-1")).await.is_err());
    assert!(gateway.try_get("/charges").await.is_err());
    assert_eq!(gateway.get("/faults").await.json()["down"], true);
    assert_eq!(only_attempt(&gateway), (AttemptOutcome::Dropped, None, false));
    assert!(!settle(&gateway).await);
}

#[tokio::test]
async fn a_delayed_call_holds_its_key_and_is_executed_after_it() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "delay_ms": { "min": 600_000, "max": 600_000 } })).await;
    let _caller = gateway.send_charge("k", &charge("tok_visa", "order-1")).await;
    gateway.until_in_progress(1).await;
    gateway.switch(&json!({ "delay_ms": { "min": 1, "max": 1 } })).await;
    assert_eq!(gateway.charge("k2", &charge("tok_visa", "order-2")).await.status, 200);
    assert_eq!(gateway.summary().await["in_progress"], 1);
    assert_eq!(gateway.charges_in_log(), 1);
}

#[tokio::test]
async fn a_slow_charge_is_executed_even_when_its_client_is_gone() {
    let gateway = Simulator::start().await;
    gateway.switch(&json!({ "slow_ms": 300 })).await;
    let caller = gateway.send_charge("k", &charge("tok_slow", "order-1")).await;
    gateway.until_taken().await;
    drop(caller);
    until("the late charge", async || (gateway.charges_in_log() == 1).then_some(())).await;
    gateway.until_in_progress(0).await;
}

#[tokio::test]
async fn faults_can_be_read_and_reset_and_are_checked() {
    let gateway = Simulator::start().await;
    let healthy = gateway.get("/faults").await.json();
    let expected = json!({
        "refuse_rate": 0.0, "error_after_rate": 0.0, "drop_before_rate": 0.0, "drop_after_rate": 0.0,
        "delay_ms": { "min": 0, "max": 0 }, "slow_ms": 1500, "down": false, "seed": 0,
    });
    assert_eq!(healthy, expected);
    for wrong in [json!({ "refuse_rate": 1.1 }), json!({ "refuse_rat": 1 }), json!({ "seed": -1 })]
    {
        assert_eq!(gateway.put_faults(&wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(gateway.get("/faults").await.json(), healthy);
    gateway.switch(&json!({ "refuse_rate": 0.5, "seed": 7 })).await;
    assert_eq!(gateway.get("/faults").await.json()["seed"], 7);
    // Faults that are not given are off.
    gateway.switch(&json!({ "drop_after_rate": 0.5 })).await;
    assert_eq!(gateway.get("/faults").await.json()["refuse_rate"], 0.0);
    gateway.reset_faults().await;
    assert_eq!(gateway.get("/faults").await.json(), healthy);
}
