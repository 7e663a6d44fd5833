//! Messages of other services, consumed in batches, with a real Postgres and a real registry.

use contract::{
    NotificationFailed, NotificationSent, PaymentDone, PaymentRefunded, ProductChanged,
    StockReleased,
};
use order_service::store::catalogue;
use serde_json::json;
use shared::{
    consumer::BatchCounts,
    dead_letter::{self, Actor, LetterFilter, Resolution, RetryDeadMessage as _},
    message::IncomingMessage,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    kit::{NOW, Shop},
    words::{failed, paid, rejected, reserved, under_review},
};

fn fresh(n: usize) -> BatchCounts {
    BatchCounts { fresh: n, ..BatchCounts::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_is_confirmed_whatever_the_order_of_the_words() {
    let shop = Shop::open().await;
    for turned in [false, true] {
        let order = shop.place().await;
        let mut batch = vec![shop.say(order, &reserved(order)), shop.say(order, &paid(order, 500))];
        if turned {
            batch.reverse();
        }
        assert_eq!(shop.consumer.process_batch(&batch).await.unwrap(), fresh(2));
        assert_eq!(shop.stands(order).await, "confirmed");
        let said = [("order-placed".to_owned(), 1), ("order-confirmed".to_owned(), 2)];
        assert_eq!(shop.said(order).await, said);
        let mut history = shop.history(order).await;
        history.sort();
        let happened = [
            "order-confirmed",
            "order-placed",
            "payment-done: {\"gateway_reference\":\"ch_1\"}",
            "stock-reserved",
        ];
        assert_eq!(history, happened);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_news_cancels_with_its_reason() {
    let shop = Shop::open().await;
    let [short, declined, away, odd] =
        [shop.place().await, shop.place().await, shop.place().await, shop.place().await];
    let batch = [
        shop.say(short, &rejected(short)),
        shop.say(declined, &failed(declined, "declined")),
        shop.say(away, &failed(away, "unavailable")),
        shop.say(odd, &failed(odd, "a reason of next year")),
    ];
    assert_eq!(shop.consumer.process_batch(&batch).await.unwrap(), fresh(4));
    assert_eq!(shop.stands(short).await, "cancelled: out-of-stock");
    assert_eq!(shop.stands(declined).await, "cancelled: payment-declined");
    assert_eq!(shop.stands(away).await, "cancelled: payment-unavailable");
    assert_eq!(shop.stands(odd).await, "cancelled: payment-unavailable");
    let said = [("order-placed".to_owned(), 1), ("order-cancelled".to_owned(), 2)];
    assert_eq!(shop.said(short).await, said);
    assert!(shop.history(short).await.contains(
        &r#"stock-rejected: {"missing":[{"sku":"tea","requested":2,"available":1}]}"#.to_owned()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_under_review_is_shown_and_changes_nothing_before_or_after_the_end() {
    let shop = Shop::open().await;
    let (waiting, late) = (shop.place().await, shop.place().await);
    let due_at = async || {
        sqlx::query_scalar::<_, OffsetDateTime>("SELECT due_at FROM orders WHERE order_id = $1")
            .bind(waiting)
            .fetch_one(&shop.pool)
            .await
            .unwrap()
    };
    let before = due_at().await;
    let batch = [
        shop.say(waiting, &reserved(waiting)),
        shop.say(waiting, &under_review(waiting, "charge", "wrong-amount")),
        shop.say(late, &failed(late, "unavailable")),
        shop.say(late, &under_review(late, "refund", "a reason of next year")),
    ];
    assert_eq!(shop.consumer.process_batch(&batch).await.unwrap(), fresh(4));
    assert_eq!(shop.stands(waiting).await, "pending");
    assert_eq!(due_at().await, before);
    assert_eq!(shop.said(waiting).await, [("order-placed".to_owned(), 1)]);
    let shown = r#"payment-under-review: {"reason":"wrong-amount"}"#.to_owned();
    assert!(shop.history(waiting).await.contains(&shown));
    assert_eq!(shop.stands(late).await, "cancelled: payment-unavailable");
    let shown = r#"payment-under-review: {"reason":"a reason of next year"}"#.to_owned();
    assert!(shop.history(late).await.contains(&shown));

    // It ends as any other order does.
    let decided = [shop.say(waiting, &paid(waiting, 500))];
    assert_eq!(shop.consumer.process_batch(&decided).await.unwrap(), fresh(1));
    assert_eq!(shop.stands(waiting).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_words_on_one_order_in_one_batch_follow_each_other() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let refunded = PaymentRefunded {
        order_id: order,
        refund_id: "re_1".to_owned(),
        amount_minor: 500,
        currency: "EUR".to_owned(),
        refunded_at: NOW,
    };
    let told = |kind: &str| NotificationSent {
        order_id: order,
        channel: "email".to_owned(),
        kind: kind.to_owned(),
        message_id: "<1@shop>".to_owned(),
        sent_at: NOW,
    };
    let untold = NotificationFailed {
        order_id: order,
        channel: "email".to_owned(),
        kind: "refunded".to_owned(),
        reason: "no\0such\r\nmailbox".to_owned(),
        failed_at: NOW,
    };
    let released = StockReleased { order_id: order, lines: vec![], released_at: NOW };
    let batch = [
        shop.say(order, &rejected(order)),
        shop.say(order, &paid(order, 500)),
        shop.say(order, &refunded),
        shop.say(order, &released),
        shop.say(order, &told("cancelled")),
        shop.say(order, &untold),
    ];
    assert_eq!(shop.consumer.process_batch(&batch).await.unwrap(), fresh(6));
    assert_eq!(shop.stands(order).await, "cancelled: out-of-stock");
    let history = shop.history(order).await;
    assert_eq!(history.len(), 8, "{history:?}");
    assert!(
        history.contains(
            &r#"notification-failed: {"reason":"no such  mailbox","notification":"refunded","channel":"email"}"#
                .to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_read_twice_happens_once() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    let batch = [shop.say(order, &paid(order, 500))];
    shop.consumer.process_batch(&batch).await.unwrap();
    let again = shop.consumer.process_batch(&batch).await.unwrap();
    assert_eq!(again, BatchCounts { repeats: 1, ..BatchCounts::default() });
    assert_eq!(shop.said(order).await.len(), 2);
    assert_eq!(shop.history(order).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_is_a_dead_letter_and_the_others_go_on() {
    let shop = Shop::open().await;
    let (order, other, third) = (shop.place().await, shop.place().await, shop.place().await);
    let nobody = Uuid::from_u128(7);
    let batch = [
        shop.say(order, &paid(order, 500)),
        shop.say(order, &failed(order, "declined")),
        shop.say(nobody, &reserved(nobody)),
        shop.say(other, &paid(other, 499)),
        shop.say(third, &paid(third, 500)),
    ];
    let taken = shop.consumer.process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 2, dead: 3, ..BatchCounts::default() });
    assert_eq!(shop.stands(order).await, "confirmed");
    assert_eq!(shop.stands(third).await, "confirmed");
    let reasons: Vec<_> = shop.dead().await;
    assert!(reasons.iter().all(|(reason, _)| reason == "contradiction"), "{reasons:?}");
    assert_eq!(reasons[0].1, "the order is confirmed, so this cannot have happened");
    assert_eq!(reasons[1].1, "there is no such order");
    assert!(reasons[2].1.contains("499 minor units of EUR"), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_is_a_dead_letter_that_says_why() {
    let shop = Shop::open().await;
    let (order, other) = (shop.place().await, shop.place().await);
    let subject = order.to_string();
    let absurd = [
        (shop.message(&subject, 1, &reserved(Uuid::from_u128(7))), "but its ce_subject is"),
        (shop.message(&subject, 1, &paid(order, -1)), "its amount is not valid"),
        (
            shop.message(
                &other.to_string(),
                1,
                &PaymentDone { currency: "euros".to_owned(), ..paid(other, 500) },
            ),
            "its currency is not valid",
        ),
        (shop.message("tea", 2, &product("coffee", 1)), "but its ce_subject is"),
        (shop.message("t\0", 2, &product("t\0", 1)), "its SKU is not valid"),
        (
            shop.message("oat", 2, &ProductChanged { name: "\0".to_owned(), ..product("oat", 1) }),
            "its name is",
        ),
        (shop.tombstone("two words", 1), "its SKU is not valid"),
    ];
    let batch: Vec<_> = absurd.iter().map(|(incoming, _)| incoming.clone()).collect();
    let taken = shop.consumer.process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { dead: absurd.len(), ..BatchCounts::default() });
    for ((reason, detail), (_, expected)) in shop.dead().await.iter().zip(&absurd) {
        assert_eq!(reason, "body");
        assert!(detail.contains(expected), "{detail}");
    }
    assert_eq!(shop.stands(order).await, "pending");
}

fn product(sku: &str, price_minor: i64) -> ProductChanged {
    ProductChanged {
        sku: sku.to_owned(),
        name: "Tea, green".to_owned(),
        price_minor,
        currency: "EUR".to_owned(),
        active: true,
        changed_at: NOW,
    }
}

async fn price(shop: &Shop, sku: &str) -> Option<i64> {
    let mut conn = shop.pool.acquire().await.unwrap();
    let offers = catalogue::offers(&mut conn, &[sku]).await.unwrap();
    offers.values().next().map(|offer| offer.price.minor())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_words_on_a_product_the_later_one_holds_whichever_is_read_first() {
    let shop = Shop::open().await;
    let word = |n, minor| shop.message("tea", n, &product("tea", minor));
    // Within one batch, and between batches.
    shop.consumer.process_batch(&[word(4, 400), word(3, 300)]).await.unwrap();
    assert_eq!(price(&shop, "tea").await, Some(400));
    shop.consumer.process_batch(&[word(2, 200)]).await.unwrap();
    assert_eq!(price(&shop, "tea").await, Some(400));
    shop.consumer.process_batch(&[word(5, 500)]).await.unwrap();
    assert_eq!(price(&shop, "tea").await, Some(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_gone_is_not_brought_back_by_an_older_word() {
    let shop = Shop::open().await;
    shop.consumer
        .process_batch(&[shop.tombstone("tea", 9), shop.tombstone("ghost", 9)])
        .await
        .unwrap();
    for sku in ["tea", "ghost"] {
        shop.consumer.process_batch(&[shop.message(sku, 8, &product(sku, 1))]).await.unwrap();
        assert_eq!(price(&shop, sku).await, None);
    }
    shop.consumer.process_batch(&[shop.message("tea", 10, &product("tea", 1))]).await.unwrap();
    assert_eq!(price(&shop, "tea").await, Some(1));
}

/// A snapshot of the product that nobody can read.
fn unreadable(shop: &Shop, sku: &str, n: i64) -> IncomingMessage {
    let mut incoming = shop.message(sku, n, &product(sku, 1));
    incoming.payload = Some(b"not avro".to_vec());
    incoming
}

async fn only_letter(shop: &Shop) -> Uuid {
    let mut conn = shop.pool.acquire().await.unwrap();
    let letters = dead_letter::list(&mut conn, &LetterFilter::default(), None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    letters[0].id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_product_that_cannot_be_read_keeps_no_newer_one_back() {
    let shop = Shop::open().await;
    let batch = [unreadable(&shop, "tea", 1), shop.message("tea", 2, &product("tea", 200))];
    let taken = shop.consumer.process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 1, dead: 1, repeats: 0 });
    assert_eq!(price(&shop, "tea").await, Some(200));
    shop.consumer.process_batch(&[shop.message("tea", 3, &product("tea", 300))]).await.unwrap();
    assert_eq!(price(&shop, "tea").await, Some(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_of_a_product_that_is_redriven_does_not_overwrite_a_newer_one() {
    let shop = Shop::open().await;
    let old = shop.message("tea", 1, &product("tea", 100));
    let readable = old.payload.clone();
    let dead = IncomingMessage { payload: Some(b"not avro".to_vec()), ..old };
    shop.consumer.process_batch(&[dead]).await.unwrap();
    shop.consumer.process_batch(&[shop.message("tea", 2, &product("tea", 200))]).await.unwrap();
    let id = only_letter(&shop).await;
    // The service has learnt to read it.
    sqlx::query("UPDATE messaging.dead_letter SET payload = $1")
        .bind(readable)
        .execute(&shop.pool)
        .await
        .unwrap();
    let carried = shop.consumer.redrive(id, &Actor::new("ada").unwrap()).await.unwrap();
    assert_eq!(carried, Resolution::Settled);
    assert_eq!(price(&shop, "tea").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fact_of_the_history_has_a_name_also_in_what_an_earlier_version_wrote() {
    let shop = Shop::open().await;
    let order = shop.place().await;
    shop.consumer.process_batch(&[shop.say(order, &paid(order, 500))]).await.unwrap();
    let sql = "INSERT INTO order_history (order_id, message_id, source, what, detail, happened_at)
               VALUES ($1, gen_random_uuid(), '/shop/notify-service', $2, $3, now())";
    for (what, detail) in [
        ("notification-failed", "confirmed by email: 550 no such mailbox"),
        ("payment-failed", "declined: insufficient_funds"),
        ("stock-rejected", "tea: 2 wanted, 1 there"),
    ] {
        sqlx::query(sql).bind(order).bind(what).bind(detail).execute(&shop.pool).await.unwrap();
    }
    let shown = shop.get(&format!("/orders/{order}")).await.json();
    let entries = shown["history"].as_array().unwrap();
    let entry = |what: &str| entries.iter().find(|entry| entry["what"] == what).unwrap();
    for (what, facts) in [
        ("order-placed", json!({})),
        ("payment-done", json!({ "gateway_reference": "ch_1" })),
        ("payment-failed", json!({ "reason": "declined", "decline_code": "insufficient_funds" })),
        (
            "notification-failed",
            json!({ "notification": "confirmed", "channel": "email", "reason": "550 no such mailbox" }),
        ),
        (
            "stock-rejected",
            json!({ "missing": [{ "sku": "tea", "requested": 2, "available": 1 }] }),
        ),
    ] {
        let mut shown = entry(what).as_object().unwrap().clone();
        for general in ["at", "what", "source", "ce_id"] {
            assert!(shown.remove(general).is_some(), "{what}: {general}");
        }
        assert_eq!(serde_json::Value::from(shown), facts, "{what}");
    }
}
