//! `POST /orders`: accepted at once, and exactly once.

use std::collections::HashSet;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use contract::{OrderLine, OrderPlaced};
use futures_util::future::join_all;
use serde_json::json;
use shared::{
    db,
    idempotency::{
        self, AnswerRecord, HttpAnswer, IdempotencyKey, RequestFingerprint, RequestKey, ScopedKey,
    },
    message::{Message, MessageEnvelope},
    outbox,
};
use sqlx::Executor as _;

use crate::kit::{NOW, PATIENCE, Shop, ask, order_request, two_teas};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_at_once_and_can_be_looked_at() {
    let shop = Shop::open().await;
    let reply = shop.post("\"k1\"", &two_teas()).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("idempotency-replayed"), "");
    let id = reply.id();
    let body = json!({
        "id": id, "status": "pending", "total": 500, "currency": "EUR",
        "due_at": "2026-01-02T03:09:05Z",
    });
    assert_eq!(reply.json(), body);

    let location = reply.header(header::LOCATION.as_str()).to_owned();
    assert_eq!(location, format!("/orders/{id}"));
    let shown = shop.get(&location).await;
    assert_eq!(shown.status, StatusCode::OK);
    let mut shown = shown.json();
    let history = shown["history"].take();
    let order = json!({
        "id": id, "status": "pending", "total": 500, "currency": "EUR",
        "lines": [{ "sku": "tea", "quantity": 2, "unit_price": 250 }],
        "placed_at": "2026-01-02T03:04:05Z", "due_at": "2026-01-02T03:09:05Z", "history": null,
    });
    assert_eq!(shown, order);
    assert_eq!(history[0]["what"], "order-placed");
    assert_eq!(history[0]["source"], "/shop/order-service");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_said_with_all_that_others_need() {
    let shop = Shop::open().await;
    let id = shop.post("k1", &two_teas()).await.id();
    let mut conn = shop.pool.acquire().await.unwrap();
    let kept = outbox::head(&mut conn, 10).await.unwrap();
    let incoming = shop.read(&kept[0].message);
    let envelope = MessageEnvelope::from_headers(&incoming.headers).unwrap();
    assert_eq!((envelope.subject.clone(), envelope.sequence), (id.to_string(), 1));
    assert!(envelope.trace.is_some());
    let said: OrderPlaced =
        shop.reader().await.decode(&Message { incoming, envelope }).await.unwrap();
    let expected = OrderPlaced {
        order_id: id,
        lines: vec![OrderLine { sku: "tea".to_owned(), quantity: 2, unit_price_minor: 250 }],
        total_minor: 500,
        currency: "EUR".to_owned(),
        payment_method: "tok_visa".to_owned(),
        email: "ada@example.org".to_owned(),
        customer_name: Some("Ada".to_owned()),
        placed_at: NOW,
        due_at: NOW + PATIENCE,
    };
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_kept_beside_the_message() {
    let shop = Shop::open().await;
    let id = shop.post("k1", &two_teas()).await.id();
    for table in ["orders", "order_history", "products", "messaging.idempotency"] {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} AS t")))
                .fetch_all(&shop.pool)
                .await
                .unwrap();
        let leak = rows.iter().find(|text| text.contains("ada@") || text.contains("tok_visa"));
        assert_eq!(leak, None, "{table}");
    }
    assert!(!shop.get(&format!("/orders/{id}")).await.json().to_string().contains("ada@"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_posts_with_one_key_are_one_order_with_one_answer() {
    let shop = Shop::open().await;
    // Two processes over one database: repeats meet in one batch, and in two transactions.
    let apis = [shop.api.clone(), shop.branch()];
    let posts = (0..50).map(|n| ask(&apis[n % 2], order_request("k1", &two_teas())));
    let replies = join_all(posts).await;
    let bodies: HashSet<_> = replies.iter().map(|reply| reply.bytes.clone()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(replies.iter().all(|reply| reply.status == StatusCode::ACCEPTED));
    let first =
        replies.iter().filter(|reply| reply.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1);
    assert_eq!(shop.count().await, 1);
    assert_eq!(shop.said(replies[0].id()).await, [("order-placed".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_at_once_are_many_orders() {
    let shop = Shop::open().await;
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let replies =
        join_all(keys.iter().map(|key| async { shop.post(key, &two_teas()).await })).await;
    let ids: HashSet<_> = replies.iter().map(crate::kit::Reply::id).collect();
    assert_eq!(ids.len(), 200);
    assert_eq!(shop.count().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_answer_even_when_the_order_has_moved_on() {
    let shop = Shop::open().await;
    let first = shop.post("k1", &two_teas()).await;
    shop.cancel(first.id()).await;
    let mut otherwise = two_teas().to_string();
    otherwise = otherwise.replace("\"EUR\"", " \"\\u0045UR\" ");
    let again =
        ask(&shop.api, order_request("\"k1\"", &serde_json::from_str(&otherwise).unwrap())).await;
    assert_eq!(again.status, first.status);
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_used_for_another_order_is_refused() {
    let shop = Shop::open().await;
    shop.post("k1", &two_teas()).await;
    let mut other = two_teas();
    other["lines"][0]["quantity"] = json!(3);
    let reply = shop.post("k1", &other).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (422, "idempotency-key-reused".to_owned()));
    // Both in one batch, too.
    let posts = [two_teas(), other].map(|body| ask(&shop.api, order_request("k2", &body)));
    let mut codes: Vec<_> =
        join_all(posts).await.iter().map(|reply| reply.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [202, 422]);
    assert_eq!(shop.count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_of_another_client_is_another_order() {
    let shop = Shop::open().await;
    let post = async |client: Option<&'static str>| {
        let mut request = order_request("k1", &two_teas());
        let header = client.map(|client| ("x-client-id".parse().unwrap(), client.parse().unwrap()));
        request.headers_mut().extend(header as Option<(HeaderName, HeaderValue)>);
        ask(&shop.api, request).await
    };
    let mut ids = HashSet::new();
    for client in [None, Some("ada"), Some("bob")] {
        let (first, again) = (post(client).await, post(client).await);
        assert_eq!((first.status, &first.bytes), (StatusCode::ACCEPTED, &again.bytes));
        assert_eq!(again.header("idempotency-replayed"), "true", "{client:?}");
        ids.insert(first.id());
    }
    assert_eq!((ids.len(), shop.count().await), (3, 3));
    let nobody = post(Some("two words")).await;
    assert_eq!((nobody.status.as_u16(), nobody.code()), (400, "malformed-request".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_day_is_over_names_a_new_order() {
    let shop = Shop::open().await;
    let first = shop.post("k1", &two_teas()).await.id();
    shop.pool
        .execute("UPDATE messaging.idempotency SET expires_at = now() - interval '1 second'")
        .await
        .unwrap();
    let second = shop.post("k1", &two_teas()).await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (StatusCode::ACCEPTED, ""));
    assert_ne!(second.id(), first);
    assert_eq!(shop.post("k1", &two_teas()).await.id(), second.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_kept_so_the_key_can_try_again() {
    let shop = Shop::open().await;
    let mut body = two_teas();
    body["lines"][0]["sku"] = json!("coffee");
    let refused = shop.post("k1", &body).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "not-orderable".to_owned()));
    shop.offer("coffee", 900, "EUR", true).await;
    assert_eq!(shop.post("k1", &body).await.status, StatusCode::ACCEPTED);
}

/// The same order in different JSON spellings, as clients in different languages write it.
const SPELLINGS: [&str; 8] = [
    r#"{"lines":[{"sku":"tea","quantity":2}],"currency":"EUR","payment_method":"tok_visa","customer":{"email":"ada@example.org"}}"#,
    r#"{"lines":[{"sku":"tea","quantity":2.0}],"currency":"EUR","payment_method":"tok_visa","customer":{"email":"ada@example.org"}}"#,
    r#"{"lines":[{"sku":"tea","quantity":2e0}],"currency":"EUR","payment_method":"tok_visa","customer":{"email":"ada@example.org"}}"#,
    r#"{"lines":[{"sku":"tea","quantity":20E-1}],"currency":"EUR","payment_method":"tok_visa","customer":{"email":"ada@example.org"}}"#,
    r#"{"lines":[{"sku":"tea","quantity":2}],"currency":"EUR","payment_method":"tok_visa","customer":{"email":"ada@example.org","name":null}}"#,
    r#" {"customer":{"email":"ada@example.org"}, "payment_method" : "tok_visa","currency":"EUR","lines":[ {"quantity":2,"sku":"tea"} ]} "#,
    r#"{"lines":[{"sku":"t\u0065a","quantity":2}],"currency":"\u0045UR","payment_method":"tok_visa","customer":{"email":"ada@example.org"}}"#,
    "\u{feff}{\"lines\":[{\"sku\":\"tea\",\"quantity\":2}],\"currency\":\"EUR\",\"payment_method\":\"tok_visa\",\"customer\":{\"email\":\"ada@example.org\"}}",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_order_in_any_spelling_under_one_key_is_the_same_request() {
    let shop = Shop::open().await;
    let branch = shop.branch();
    let post = async |key: &str, text: &str| {
        let mut request = order_request(key, &two_teas());
        *request.body_mut() = text.to_owned().into();
        ask(&branch, request).await
    };
    for (n, first) in SPELLINGS.into_iter().enumerate() {
        let key = format!("k{n}");
        let id = post(&key, first).await.id();
        for text in SPELLINGS {
            let reply = post(&key, text).await;
            assert_eq!(reply.status, StatusCode::ACCEPTED, "{first} {text}");
            assert_eq!(reply.header("idempotency-replayed"), "true");
            assert_eq!(reply.id(), id);
        }
        // Another order is another one, in whatever spelling.
        let other = post(&key, &SPELLINGS[1].replace("2.0", "3.0")).await;
        assert_eq!(
            (other.status.as_u16(), other.code()),
            (422, "idempotency-key-reused".to_owned())
        );
    }
    assert_eq!(shop.count().await, i64::try_from(SPELLINGS.len()).unwrap());
    let half = post("half", &SPELLINGS[1].replace("2.0", "2.5")).await;
    assert_eq!((half.status.as_u16(), half.code()), (422, "invalid-body".to_owned()));
    assert_eq!(half.json()["errors"][0]["pointer"], "/lines/0/quantity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_being_worked_on_is_busy() {
    let shop = Shop::open().await;
    let mut elsewhere = db::begin(&shop.pool).await.unwrap();
    let fingerprint = RequestFingerprint::of("POST", "/orders", &two_teas());
    let answer = HttpAnswer { status: 202, location: None, body: "{}".to_owned() };
    let key =
        ScopedKey { scope: "POST /orders".to_owned(), key: IdempotencyKey::parse("k1").unwrap() };
    idempotency::keep(
        &mut elsewhere,
        &[AnswerRecord { request: RequestKey { key, fingerprint }, answer }],
    )
    .await
    .unwrap();
    let hasty = shop.hasty_branch();
    let reply = ask(&hasty, order_request("k1", &two_teas())).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (409, "busy".to_owned()));
    // Another key does not wait for it.
    let reply = ask(&hasty, order_request("k2", &two_teas())).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    elsewhere.commit().await.unwrap();
    let reply = shop.post("k1", &two_teas()).await;
    assert_eq!((reply.bytes.as_ref(), reply.header("idempotency-replayed")), (&b"{}"[..], "true"));
    assert_eq!(shop.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_keeps_the_price_at_which_it_was_accepted() {
    let shop = Shop::open().await;
    let id = shop.post("k1", &two_teas()).await.id();
    sqlx::query("UPDATE products SET price_minor = 999").execute(&shop.pool).await.unwrap();
    let order = shop.get(&format!("/orders/{id}")).await.json();
    assert_eq!((&order["total"], &order["lines"][0]["unit_price"]), (&json!(500), &json!(250)));
}
