//! The REST API, over its router.

use std::{fs, path::Path};

use notify_service::http;
use serde_json::Value;
use shared::http::HttpSettings;
use tower::ServiceExt as _;

use crate::kit::{Order, PATIENCE, TestService};

async fn get(service: &TestService, path: &str) -> (u16, String) {
    let limits = HttpSettings { request_limit: PATIENCE, ..HttpSettings::default() };
    let router = http::router(service.pool.clone(), &limits);
    let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 10_000_000).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn get_json(service: &TestService, path: &str) -> (u16, Value) {
    let (status, body) = get(service, path).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn the_notices_of_an_order_are_shown_without_its_contact() {
    let service = TestService::open().await;
    let order = Order::of("Ada Lovelace");
    let path = format!("/notifications/{}", order.id);
    service.consumes(&order, &order.confirmed()).await;
    let (status, shown) = get_json(&service, &path).await;
    assert_eq!(status, 200);
    assert_eq!(shown["notifications"][0]["stage"], "waiting-for-contact");
    assert_eq!(shown["email"], Value::Null);

    service.consumes(&order, &order.placed()).await;
    service.mailer().await.step().await.unwrap();
    service.consumes(&order, &order.cancelled()).await;
    let (_, shown) = get_json(&service, &path).await;
    assert_eq!(shown["order_id"], order.id.to_string());
    assert_eq!(shown["email"], format!("{}***@example.org", &order.email[..1]));
    let [confirmed, cancelled] = &shown["notifications"].as_array().unwrap()[..] else {
        panic!("{shown}")
    };
    assert_eq!(confirmed["kind"], "confirmed");
    assert_eq!(confirmed["channel"], "email");
    assert_eq!(confirmed["stage"], "sent");
    assert_eq!(confirmed["message_id"], order.message_id("confirmed"));
    assert_eq!(cancelled["stage"], "due");
    let text = shown.to_string();
    assert!(!text.contains("Lovelace") && !text.contains(&order.email), "{text}");
}

#[tokio::test]
async fn an_order_that_nobody_spoke_of_is_not_found() {
    let service = TestService::open().await;
    let (status, problem) =
        get_json(&service, &format!("/notifications/{}", Order::new().id)).await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("not-found")));
    let (status, problem) = get_json(&service, "/notifications/seven").await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed-request")));
}

#[tokio::test]
async fn the_description_is_served_with_its_pages() {
    let service = TestService::open().await;
    let (status, document) = get_json(&service, "/openapi.json").await;
    assert_eq!(status, 200);
    assert!(document["paths"]["/notifications/{order_id}"]["get"].is_object());
    assert_eq!(get(&service, "/swagger-ui/").await.0, 200);
    assert_eq!(get(&service, "/problems/not-found").await.0, 200);
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let mut served = http::document().to_pretty_json().unwrap();
    served.push('\n');
    if fs::read_to_string(&file).unwrap_or_default() != served {
        fs::write(&file, &served).unwrap();
        panic!("openapi.json was out of date and has been written anew: look at it and commit it");
    }
}
