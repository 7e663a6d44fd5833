//! The operators' API for dead letters, as a script would use it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use shared::{
    dead_letter::DeadLetterAdmin,
    health::ProcessHealth,
    http::{self, AdminRoutes, dead_letters},
    telemetry::{self, ProcessMetrics},
};
use sqlx::PgPool;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    dead_letters::unreadable,
    kit::{NUMBERS, PATIENCE, Tally, database, incoming, parts},
};

/// An admin server over `n` unreadable messages, each with its own key.
async fn admin(n: i64) -> (PgPool, Router) {
    let (pool, _) = database().await;
    let parts = Arc::new(parts(&pool, Tally::default()));
    for it in 0..n {
        let key = it.to_string();
        parts.process_batch(&[incoming(&unreadable(&key, 1), it)]).await.unwrap();
    }
    let messages = Some(parts as _);
    let letters = DeadLetterAdmin { messages, ..DeadLetterAdmin::new(pool.clone()) };
    let limits = http::HttpSettings { request_limit: PATIENCE, ..http::HttpSettings::default() };
    (pool, http::finish(dead_letters(letters).routes, &limits))
}

async fn ask(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn get(app: &Router, path: &str) -> (StatusCode, Value) {
    ask(app, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(app: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    ask(app, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn letters_are_listed_page_by_page_and_counted_by_reason() {
    let (_pool, app) = admin(5).await;
    let (mut path, mut seen) = ("/dead-letters?limit=2".to_owned(), Vec::new());
    loop {
        let (status, page) = get(&app, &path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        for item in page["items"].as_array().unwrap() {
            assert_eq!((&item["topic"], &item["reason"]), (&json!(NUMBERS), &json!("body")));
            assert_eq!(item["attempts"], 1);
            seen.push(item["key"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/dead-letters?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    let (_, one) = get(&app, "/dead-letters?key=3").await;
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    let (_, reasons) = get(&app, "/dead-letters/reasons?topic=numbers").await;
    let expected = json!({ "source": "message", "topic": NUMBERS, "reason": "body", "letters": 5 });
    assert_eq!(reasons, json!({ "letters": 5, "items": [expected] }));
}

#[tokio::test]
async fn a_letter_is_shown_tried_again_and_discarded() {
    let (_pool, app) = admin(1).await;
    let (_, page) = get(&app, "/dead-letters").await;
    let id = page["items"][0]["id"].as_str().unwrap();
    let (_, shown) = get(&app, &format!("/dead-letters/{id}")).await;
    assert_eq!((&shown["open"], &shown["message"]["body_bytes"]), (&json!(true), &json!(12)));
    assert_eq!(shown["message"]["body_hex"], "6e6f742061206e756d626572", "`not a number`");
    let headers = shown["message"]["headers"].as_array().unwrap();
    assert!(headers.iter().any(|value| value["name"] == "ce_id"), "{headers:?}");

    let by = json!({ "by": "ada" });
    let (status, again) = post(&app, &format!("/dead-letters/{id}/redrive"), &by).await;
    assert_eq!((status, &again["outcome"]), (StatusCode::OK, &json!("still-dead")));
    assert_eq!((&again["attempts"], &again["reason"]), (&json!(2), &json!("body")));
    let why = json!({ "by": "ada", "reason": "nobody needs it" });
    let (_, ended) = post(&app, &format!("/dead-letters/{id}/discard"), &why).await;
    assert_eq!(ended, json!({ "outcome": "settled" }));
    let (_, twice) = post(&app, &format!("/dead-letters/{id}/discard"), &why).await;
    assert_eq!(twice, json!({ "outcome": "not-open" }));

    let (_, shown) = get(&app, &format!("/dead-letters/{id}")).await;
    assert_eq!((&shown["open"], &shown["letter"]["settled"]), (&json!(false), &json!("discarded")));
    let decisions = shown["decisions"].as_array().unwrap();
    let outcomes: Vec<_> =
        decisions.iter().map(|value| value["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["still-dead", "discarded"]);
    let (_, latest) = get(&app, "/dead-letters/decisions?limit=1").await;
    assert_eq!(latest["items"][0]["reason"], "nobody needs it");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_problem() {
    let (_pool, app) = admin(1).await;
    let (_, page) = get(&app, "/dead-letters").await;
    let id = page["items"][0]["id"].as_str().unwrap();
    let nobody = Uuid::from_u128(7);
    for (path, body, status, code) in [
        ("/dead-letters?limit=0".to_owned(), None, 400, "malformed-request"),
        ("/dead-letters?cursor=x".to_owned(), None, 400, "malformed-request"),
        ("/dead-letters?color=red".to_owned(), None, 400, "malformed-request"),
        ("/dead-letters/x".to_owned(), None, 400, "malformed-request"),
        (format!("/dead-letters/{nobody}"), None, 404, "not-found"),
        (format!("/dead-letters/{nobody}/redrive"), Some(json!({ "by": "ada" })), 404, "not-found"),
        (format!("/dead-letters/{id}/redrive"), Some(json!({ "by": " " })), 422, "invalid-body"),
        (format!("/dead-letters/{id}/redrive"), Some(json!({})), 422, "invalid-body"),
        (format!("/dead-letters/{id}/discard"), Some(json!({ "by": "ada" })), 422, "invalid-body"),
        (
            format!("/dead-letters/{id}/discard"),
            Some(json!({ "by": "ada", "reason": "" })),
            422,
            "invalid-body",
        ),
    ] {
        let (got, problem) = match &body {
            None => get(&app, &path).await,
            Some(body) => post(&app, &path, body).await,
        };
        assert_eq!((got.as_u16(), &problem["code"]), (status, &json!(code)), "{path}: {problem}");
    }
    let (_, page) = get(&app, "/dead-letters").await;
    assert_eq!(page["items"][0]["attempts"], 1, "nothing of that touched the letter");
}

#[tokio::test]
async fn until_the_service_has_started_its_admin_server_answers_health_and_nothing_else() {
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let process_metrics = ProcessMetrics::of(ProcessHealth::default());
    let admin =
        AdminRoutes::new("loan-service", process_metrics, metrics, http::HttpSettings::default());
    let app = admin.router();
    let status = async |path| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let (early, problem) = get(&app, "/dead-letters").await;
    assert_eq!((early.as_u16(), &problem["code"]), (503, &json!("unavailable")));
    assert_eq!((status("/livez").await, status("/nowhere").await), (200, 503));
    assert_eq!(linked(&app).await, ["/readyz?verbose", "/livez", "/metrics"]);
    let (pool, _) = database().await;
    admin.complete(dead_letters(DeadLetterAdmin::new(pool)), &[]);
    assert_eq!((status("/livez").await, status("/dead-letters").await), (200, 200));
    assert_eq!(status("/nowhere").await, 404);
}

/// The links of the index, in order.
async fn linked(app: &Router) -> Vec<String> {
    let (status, index) = get(app, "/").await;
    assert_eq!(status, StatusCode::OK);
    let links = index["links"].as_array().unwrap().iter();
    links.map(|link| link["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_index_of_the_admin_server_names_every_route_of_it() {
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let health = ProcessHealth::default();
    health.component("http").ready();
    let admin = AdminRoutes::new(
        "loan-service",
        ProcessMetrics::of(health),
        metrics,
        http::HttpSettings { request_limit: PATIENCE, ..http::HttpSettings::default() },
    );
    let (pool, _) = database().await;
    let own = http::OperatorRoutes {
        routes: Router::new().route("/loans", axum::routing::get(async || "none")),
        links: vec![http::IndexLink::page("/loans", "Open loans")],
    };
    admin.complete(own.and(dead_letters(DeadLetterAdmin::new(pool))), &[]);
    let app = admin.router();
    let paths = linked(&app).await;
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths.iter().filter(|path| !path.contains('{')) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 200, "{path}");
    }
    let request = Request::get("/").header("accept", "text/html").body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let page = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("<h1>loan-service, for operators</h1>"), "{page}");
    for path in paths {
        assert!(page.contains(&path), "{path}: {page}");
    }
}
