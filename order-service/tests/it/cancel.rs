//! The customer cancels an order, at each stage.

use axum::http::StatusCode;
use devstack::until;
use futures_util::future::join_all;
use order_service::{domain::order::OrderCommand, request::OrderRequest};
use serde_json::json;
use shared::db;
use time::Duration;

use crate::{
    kit::{NOW, Shop, WINDOW},
    words::{failed, paid, rejected, reserved},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_order_is_cancelled_and_asking_again_gets_the_same_answer() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let first = shop.cancel(order).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(first.header("location"), format!("/orders/{order}"));
    let body = json!({ "id": order, "status": "cancelled", "reason": "requested" });
    assert_eq!(first.json(), body);
    let again = shop.cancel(order).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    let said = [("order-placed".to_owned(), 1), ("order-cancelled".to_owned(), 2)];
    assert_eq!(shop.said(order).await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_can_be_taken_back_while_the_window_lasts() {
    let shop = Shop::open().await;
    let [early, late] = [shop.place().await, shop.place().await];
    let batch = [shop.say(early, &paid(early, 500)), shop.say(late, &paid(late, 500))];
    shop.consumer.process_batch(&batch).await.unwrap();

    shop.clock.advance(WINDOW);
    let reply = shop.cancel(early).await;
    assert_eq!(
        (reply.status, shop.stands(early).await.as_str()),
        (StatusCode::ACCEPTED, "cancelled: requested")
    );
    let order = shop.get(&format!("/orders/{early}")).await.json();
    assert!(order["confirmed_at"].is_string() && order["cancelled_at"].is_string(), "{order}");

    shop.clock.advance(Duration::SECOND);
    let reply = shop.cancel(late).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (409, "too-late-to-cancel".to_owned()));
    assert!(
        reply.json()["detail"]
            .as_str()
            .unwrap()
            .contains("could be cancelled until 2026-01-02T03:34:05Z")
    );
    assert_eq!(shop.stands(late).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_cancelled_for_another_reason_says_so() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    shop.consumer.process_batch(&[shop.say(order, &rejected(order))]).await.unwrap();
    let reply = shop.cancel(order).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.json()["reason"], "out-of-stock");
    assert_eq!(shop.said(order).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_after_the_cancellation_changes_nothing() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    shop.cancel(order).await;
    let late = [shop.say(order, &reserved(order)), shop.say(order, &paid(order, 500))];
    assert_eq!(shop.consumer.process_batch(&late).await.unwrap().fresh, 2);
    assert_eq!(shop.stands(order).await, "cancelled: requested");
    assert_eq!(shop.said(order).await.len(), 2);
    assert_eq!(shop.history(order).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_cancellations_at_once_are_said_once() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let apis = [shop.api.clone(), shop.branch()];
    let cancel = |n: usize| {
        let request = axum::http::Request::post(format!("/orders/{order}/cancel"));
        crate::kit::ask(&apis[n % 2], request.body(axum::body::Body::empty()).unwrap())
    };
    let replies = join_all((0..40).map(cancel)).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::ACCEPTED));
    assert_eq!(shop.said(order).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_transactions_on_one_order_follow_each_other() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let command = OrderCommand::Cancel { now: NOW, window: WINDOW };
    let cancel = [OrderRequest { order_id: order, command, heard: None, trace: None }];
    let mut first = db::begin(&shop.pool).await.unwrap();
    let mut second = db::begin(&shop.pool).await.unwrap();
    let said = shop.app.execute(&mut first, &cancel).await.unwrap();
    assert_eq!(said.effects.messages.len(), 1);
    // The second one waits for what the first one did, and only then looks.
    let (late, ()) = tokio::join!(shop.app.execute(&mut second, &cancel), async {
        until("the second one waits", async || shop.somebody_waits().await).await;
        first.commit().await.unwrap();
    });
    let late = late.unwrap();
    assert!(late.answers[0].is_ok());
    assert_eq!(late.effects.messages, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_stage_the_answer_is_described_with_an_example_and_a_repeat_gets_the_same() {
    let shop = Shop::open().await;
    let described = shop.get("/openapi.json").await.json();
    let described = &described["paths"]["/orders/{order_id}/cancel"]["post"]["responses"];
    let forms = [("202", "application/json"), ("409", "application/problem+json")];
    let examples = |status: &str| {
        let (_, form) = forms.iter().find(|pair| pair.0 == status).unwrap();
        let examples = described[status]["content"][form]["examples"].as_object().unwrap();
        examples.values().map(|example| example["value"].clone()).collect::<Vec<_>>()
    };
    let order = [0; 6].map(|_| shop.place());
    let [placed, held, paid_for, late, short, unpaid] = join_all(order).await.try_into().unwrap();
    let batch = [
        shop.say(held, &reserved(held)),
        shop.say(paid_for, &reserved(paid_for)),
        shop.say(paid_for, &paid(paid_for, 500)),
        shop.say(late, &paid(late, 500)),
        shop.say(short, &rejected(short)),
        shop.say(unpaid, &failed(unpaid, "declined")),
    ];
    assert_eq!(shop.consumer.process_batch(&batch).await.unwrap().dead, 0);
    let by_you = ("202", json!({ "status": "cancelled", "reason": "requested" }));
    let cases = [
        ("placed", placed, by_you.clone()),
        ("while it is being charged", held, by_you.clone()),
        ("confirmed", paid_for, by_you),
        ("short", short, ("202", json!({ "status": "cancelled", "reason": "out-of-stock" }))),
        ("unpaid", unpaid, ("202", json!({ "status": "cancelled", "reason": "payment-declined" }))),
        ("confirmed long ago", late, ("409", json!({ "code": "too-late-to-cancel" }))),
    ];
    for (stage, order, (status, parts)) in cases {
        if status == "409" {
            shop.clock.advance(WINDOW + Duration::SECOND);
        }
        let first = shop.cancel(order).await;
        assert_eq!(first.status.as_str(), status, "{stage}");
        let (body, again) = (first.json(), shop.cancel(order).await);
        assert_eq!(again.status, first.status, "{stage}");
        for (name, value) in parts.as_object().unwrap() {
            assert_eq!((&body[name], &again.json()[name]), (value, value), "{stage}");
        }
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.retain(|key| !["instance", "request_id", "trace_id"].contains(&key.as_str()));
            keys.sort_unstable();
            keys
        };
        let shown = examples(status).iter().any(|value| keys(value) == keys(&body));
        assert!(shown, "{stage}: no example looks like {body}");
    }
}
