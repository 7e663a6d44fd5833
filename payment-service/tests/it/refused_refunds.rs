//! Refunds that the gateway does not make: made before, disputed, of a charge that it does not
//! know. Each has an end.

use axum::{Json, Router, http::StatusCode, routing::post};
use contract::PaymentRefunded;
use payment_service::domain::payment::{PaymentCommand, PaymentRejection};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    kit::{Payments, TOTAL_MINOR},
    review::{decide, reviews},
    simulator::Simulator,
};

/// A payment that was made, of an order that was cancelled.
async fn refunding(payments: &Payments, gateway: &Simulator, card: &str) -> (Uuid, String) {
    let order_id = payments.charging(card).await;
    payments.charges(&gateway.url).step().await.unwrap();
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    assert_eq!(payments.stage(order_id).await, "refunding");
    let charge = sqlx::query_scalar("SELECT charge_id FROM payments WHERE order_id = $1")
        .bind(order_id)
        .fetch_one(&payments.pool)
        .await
        .unwrap();
    (order_id, charge)
}

/// The last word on an order: what was given back, and under which name.
async fn returned(payments: &Payments, order_id: Uuid) -> (i64, String) {
    let message = payments.messages(order_id).await.pop().unwrap();
    let record: PaymentRefunded = payments.codec.decode(&message).await.unwrap();
    (record.amount_minor, record.refund_id)
}

async fn review(payments: &Payments, order_id: Uuid) -> Option<String> {
    sqlx::query_scalar("SELECT review FROM payments WHERE order_id = $1")
        .bind(order_id)
        .fetch_one(&payments.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_charge_that_was_given_back_by_hand_counts_as_refunded() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, charge) = refunding(&payments, &gateway, "tok_visa").await;
    let by_hand = gateway.refund(&charge).await;
    assert_eq!(payments.refunds(&gateway.url).step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(returned(&payments, order_id).await, (TOTAL_MINOR, by_hand));
    assert!(payments.jobs().await.is_empty());
    assert_eq!(gateway.counts().await.refunds, 1);
}

/// A gateway that says the charge was given back, and whose lists are away.
async fn serve_without_lists(listener: TcpListener) {
    let said =
        json!({ "error": { "type": "invalid_request_error", "code": "charge_already_refunded" } });
    let refunds = post(async move || (StatusCode::BAD_REQUEST, Json(said)))
        .get(async || StatusCode::SERVICE_UNAVAILABLE);
    axum::serve(listener, Router::new().route("/v1/refunds", refunds)).await.unwrap();
}

#[tokio::test]
async fn a_charge_that_was_given_back_counts_as_refunded_though_its_refund_cannot_be_looked_up() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, _) = refunding(&payments, &gateway, "tok_visa").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let mut refunds = payments.refunds(&url);
    let work = async {
        for _attempt in 0..2 {
            assert_eq!(refunds.step().await.unwrap().again, 1, "its name may be found yet");
            payments.make_due().await;
        }
        // The last one that the job has.
        assert_eq!(refunds.step().await.unwrap().done, 1);
    };
    tokio::select! {
        () = serve_without_lists(listener) => unreachable!("it has no end"),
        () = work => (),
    }
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(returned(&payments, order_id).await, (TOTAL_MINOR, "unlisted".to_owned()));
    assert!(payments.jobs().await.is_empty());
}

#[tokio::test]
async fn a_refund_that_was_given_up_and_then_made_by_hand_is_ended_by_the_operators_decision() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, charge) = refunding(&payments, &gateway, "tok_visa").await;
    gateway.kill().await;
    let mut refunds = payments.refunds(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        refunds.step().await.unwrap();
    }
    assert_eq!(review(&payments, order_id).await.as_deref(), Some("refund-failed"));
    gateway.start_again().await;
    let by_hand = gateway.refund(&charge).await;
    decide(&payments, order_id, PaymentCommand::Refund).await.unwrap();
    assert_eq!(refunds.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(returned(&payments, order_id).await, (TOTAL_MINOR, by_hand));
}

/// A person who is told why can try again in vain, and end it; no job is left dead.
async fn assert_is_ended_by_a_person(
    payments: &Payments,
    gateway: &Simulator,
    order_id: Uuid,
    why: &str,
) {
    let mut refunds = payments.refunds(&gateway.url);
    for again in 1..=2 {
        assert_eq!(refunds.step().await.unwrap().done, 1);
        assert_eq!(payments.stage(order_id).await, "needs-review");
        assert_eq!(review(payments, order_id).await.as_deref(), Some(why));
        let told = vec![format!("refund: {why}"); again];
        assert_eq!(reviews(payments, order_id).await, told, "once each time that it waits");
        assert!(payments.jobs().await.is_empty());
        decide(payments, order_id, PaymentCommand::Refund).await.unwrap();
    }
    refunds.step().await.unwrap();
    assert_eq!(
        decide(payments, order_id, PaymentCommand::Accept).await,
        Err(PaymentRejection::NotUnderReview)
    );
    for _twice in 0..2 {
        decide(payments, order_id, PaymentCommand::Settle).await.unwrap();
    }
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(returned(payments, order_id).await, (TOTAL_MINOR, "by-hand".to_owned()));
    assert!(payments.jobs().await.is_empty());
}

#[tokio::test]
async fn a_charge_that_is_disputed_waits_for_a_person_who_ends_it() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, _) = refunding(&payments, &gateway, "tok_createDispute").await;
    assert_is_ended_by_a_person(&payments, &gateway, order_id, "charge-disputed").await;
    assert_eq!(gateway.counts().await.refunds, 0);
}

#[tokio::test]
async fn a_charge_that_a_gateway_without_memory_does_not_know_waits_for_a_person_who_ends_it() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, _) = refunding(&payments, &gateway, "tok_visa").await;
    gateway.kill().await;
    gateway.start_without_memory().await;
    assert_is_ended_by_a_person(&payments, &gateway, order_id, "charge-unknown").await;
}

#[tokio::test]
async fn what_a_person_settles_takes_the_dead_job_along() {
    let (payments, mut gateway) = (Payments::start().await, Simulator::start().await);
    let (order_id, _) = refunding(&payments, &gateway, "tok_visa").await;
    gateway.kill().await;
    let mut refunds = payments.refunds(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        refunds.step().await.unwrap();
    }
    assert_eq!(payments.jobs().await, [("refund".to_owned(), "dead".to_owned(), 3)]);
    decide(&payments, order_id, PaymentCommand::Settle).await.unwrap();
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert!(payments.jobs().await.is_empty());
}
