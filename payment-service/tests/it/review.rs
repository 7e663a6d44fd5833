//! Payments under review, and the decisions of operators.

use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
};
use contract::{PaymentDone, PaymentUnderReview};
use payment_service::{
    commands::ReviewPayments,
    domain::payment::{PaymentCommand, PaymentRejection},
    http::{PAGES, operators, problem::NOT_UNDER_REVIEW},
    request::{PaymentAction, PaymentRequest},
};
use serde_json::{Value, json};
use shared::{
    admission::AdmissionGate,
    batcher::{self, CommandBatcher},
    db,
    effects::WorkerWakers,
    http,
};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    kit::{PATIENCE, Payments, TOTAL_MINOR},
    simulator::Simulator,
};

/// Decides, as an operator would.
pub(crate) async fn decide(
    payments: &Payments,
    order_id: Uuid,
    command: PaymentCommand,
) -> Result<(), PaymentRejection> {
    let mut tx = db::begin(&payments.pool).await.unwrap();
    let decision =
        PaymentRequest { order_id, action: PaymentAction::Command(command), trace: None };
    let mut outcome = payments.app.execute(&mut tx, &[decision]).await.unwrap();
    drop(outcome.effects.save(&mut tx, &WorkerWakers::default()).await.unwrap());
    tx.commit().await.unwrap();
    outcome.answers.remove(0).map(drop)
}

async fn words(payments: &Payments, order_id: Uuid) -> Vec<String> {
    payments.said(order_id).await.into_iter().map(|(topic, _)| topic).collect()
}

/// What the order was told of reviews: of what, and why.
pub(crate) async fn reviews(payments: &Payments, order_id: Uuid) -> Vec<String> {
    let mut reviews = Vec::new();
    for message in payments.messages(order_id).await {
        if message.incoming.topic == contract::PAYMENT_UNDER_REVIEW {
            let record: PaymentUnderReview = payments.codec.decode(&message).await.unwrap();
            assert_eq!((record.order_id, record.since), (order_id, message.envelope.time));
            reviews.push(format!("{}: {}", record.operation, record.reason));
        }
    }
    reviews
}

async fn wrongly_charged() -> (Payments, Simulator, Uuid) {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_wrongAmount").await;
    payments.charges(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "needs-review");
    assert_eq!(reviews(&payments, order_id).await, ["charge: wrong-amount"]);
    assert_eq!(gateway.counts().await.net_minor, TOTAL_MINOR + 1);
    (payments, gateway, order_id)
}

#[tokio::test]
async fn a_wrong_amount_that_is_accepted_is_a_payment() {
    let (payments, _gateway, order_id) = wrongly_charged().await;
    decide(&payments, order_id, PaymentCommand::Accept).await.unwrap();
    assert_eq!(payments.stage(order_id).await, "done");
    assert_eq!(words(&payments, order_id).await, ["payment-under-review", "payment-done"]);
    let message = payments.messages(order_id).await.remove(1);
    let done: PaymentDone = payments.codec.decode(&message).await.unwrap();
    assert_eq!(done.amount_minor, TOTAL_MINOR, "the order takes no other amount than its total");
}

#[tokio::test]
async fn a_wrong_amount_that_is_not_accepted_goes_back_whole() {
    let (payments, gateway, order_id) = wrongly_charged().await;
    decide(&payments, order_id, PaymentCommand::Refund).await.unwrap();
    assert_eq!(words(&payments, order_id).await, ["payment-under-review", "payment-failed"]);
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    payments.refunds(&gateway.url).step().await.unwrap();
    assert_eq!(payments.stage(order_id).await, "refunded");
    assert_eq!(gateway.counts().await.net_minor, 0);
}

#[tokio::test]
async fn a_wrong_amount_goes_back_by_itself_once_the_order_is_cancelled() {
    let (payments, gateway, order_id) = wrongly_charged().await;
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    let refused = decide(&payments, order_id, PaymentCommand::Accept).await;
    assert_eq!(refused, Err(PaymentRejection::NotUnderReview));
    payments.refunds(&gateway.url).step().await.unwrap();
    assert_eq!(words(&payments, order_id).await, ["payment-under-review", "payment-refunded"]);
    assert_eq!(gateway.counts().await.net_minor, 0);
}

#[tokio::test]
async fn a_refund_that_was_given_up_is_tried_again_when_a_person_says_so() {
    let (payments, gateway) = (Payments::start().await, Simulator::start().await);
    let order_id = payments.charging("tok_visa").await;
    payments.charges(&gateway.url).step().await.unwrap();
    payments.process_batch(&[payments.others.cancelled(order_id)]).await;
    gateway.faults(&json!({ "drop_after_rate": 1.0 })).await;
    let mut refunds = payments.refunds(&gateway.url);
    for _attempt in 0..3 {
        payments.make_due().await;
        refunds.step().await.unwrap();
    }
    assert_eq!(payments.stage(order_id).await, "needs-review");
    assert_eq!(payments.jobs().await, [("refund".to_owned(), "dead".to_owned(), 3)]);
    assert_eq!(reviews(&payments, order_id).await, ["refund: refund-failed"]);
    gateway.heal().await;
    decide(&payments, order_id, PaymentCommand::Refund).await.unwrap();
    assert_eq!(refunds.step().await.unwrap().done, 1);
    assert_eq!(payments.stage(order_id).await, "refunded");
    let counts = gateway.counts().await;
    assert_eq!((counts.refunds, counts.net_minor), (1, 0), "the same key, so once");
}

/// Posts to the operators' port; answers status and problem.
async fn post(
    reviews: &CommandBatcher<ReviewPayments>,
    order_id: Uuid,
    body: &Value,
) -> (u16, Value) {
    let request = Request::post(format!("/payments/{order_id}/review"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let limits =
        http::HttpSettings { request_limit: 2 * PATIENCE, ..http::HttpSettings::default() };
    let routes = http::finish(operators(reviews.clone()).routes, &limits);
    let response = routes.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn an_operator_decides_by_http() {
    let (payments, _gateway, order_id) = wrongly_charged().await;
    let accept = json!({ "decision": "accept" });
    let (app, pool) = (payments.app.clone(), payments.pool.clone());
    let batch = ReviewPayments { app };
    let (wakers, gate) = (WorkerWakers::default(), AdmissionGate::default());
    let parts = batcher::BatcherParts { name: "test", batch, pool, wakers, gate };
    let (transaction_limit, lock_limit) = (PATIENCE, PATIENCE);
    let patient = batcher::BatcherSettings {
        transaction_limit,
        lock_limit,
        ..batcher::BatcherSettings::default()
    };
    let (reviews, mut worker) = CommandBatcher::new(parts, patient);
    for _twice in 0..2 {
        let ((status, _), _) = tokio::join!(post(&reviews, order_id, &accept), worker.step());
        assert_eq!(status, 204);
    }
    assert_eq!(words(&payments, order_id).await, ["payment-under-review", "payment-done"]);

    let refund = json!({ "decision": "refund" });
    let ((status, problem), _) = tokio::join!(post(&reviews, order_id, &refund), worker.step());
    assert_eq!((status, &problem["code"]), (409, &json!("payment-not-under-review")));
    for wrong in
        [json!({ "decision": "keep" }), json!({}), json!({ "decision": "accept", "by": 1 })]
    {
        assert_eq!(post(&reviews, order_id, &wrong).await.0, 422, "{wrong}");
    }
}

#[test]
fn each_problem_has_its_page() {
    http::has_pages(&[NOT_UNDER_REVIEW], PAGES).unwrap();
}
