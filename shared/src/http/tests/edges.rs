//! What comes from other kinds of clients: other encodings, browsers, terminals.

use super::*;

/// The same for pages of this origin in a browser.
fn app_for(origins: &str) -> Router {
    let cors = Some(CorsOrigins::parse(origins).unwrap());
    let routes = Router::new()
        .route("/orders", post(async || StatusCode::ACCEPTED))
        .route("/full", get(async || Problem::from(SubmitError::Full)));
    finish(routes, &HttpSettings { cors, ..settings() })
}

#[tokio::test]
async fn a_byte_order_mark_before_a_body_is_passed_over() {
    let body = "\u{feff}{\"lines\":[]}";
    let key = [JSON, ("idempotency-key", "k")];
    assert_eq!(send(post_of("/orders", &[JSON], body)).await.status(), StatusCode::ACCEPTED);
    assert_eq!(send(post_of("/keyed", &key, body)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_in_another_encoding_is_told_so() {
    let text = r#"{"lines":[]}"#;
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [
        [b"\xff\xfe", &*little].concat(),
        [b"\xfe\xff", &*big].concat(),
        little,
        big,
        text.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect(),
    ] {
        let mut request = post_of("/orders", &[JSON], "");
        *request.body_mut() = Body::from(body);
        let (_, problem) = problem_of(request, problem::MALFORMED_JSON).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("JSON is sent in UTF-8"), "{detail}");
    }
}

#[tokio::test]
async fn every_route_says_its_methods_when_asked_for_them() {
    for (path, methods) in [("/orders", "POST"), ("/page", "GET,HEAD"), ("/full", "GET,HEAD")] {
        let response = send(options(path, &[])).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(response.headers()[header::ALLOW], methods, "{path}");
        assert_eq!(text(response).await, "");
    }
    assert_eq!(send(options("*", &[])).await.status(), StatusCode::NO_CONTENT);
}

const SHOP: &str = "https://shop.example";

#[tokio::test]
async fn a_page_of_a_named_origin_may_ask_and_read_the_answers() {
    let asks = [
        ("origin", SHOP),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key,traceparent"),
    ];
    for origins in [SHOP, "https://other.example, https://shop.example", "*"] {
        let app = app_for(origins);
        let response = app.clone().oneshot(options("/orders", &asks)).await.unwrap();
        assert!(response.status().is_success());
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let allowed = if origins == "*" { "*" } else { SHOP };
        assert_eq!(header("access-control-allow-origin"), allowed);
        assert_eq!(header("access-control-allow-methods"), "GET,HEAD,POST,PUT");
        for name in ["content-type", "idempotency-key", "x-client-id", "traceparent", "tracestate"]
        {
            assert!(header("access-control-allow-headers").contains(name), "{name}");
        }
        assert_eq!(header("access-control-max-age"), "600");
        // A refusal can be read like any other answer, with what it says beside its body.
        let mut request = get_of("/full");
        request.headers_mut().insert("origin", SHOP.parse().unwrap());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["access-control-allow-origin"], allowed);
        let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
        for name in ["location", "retry-after", "idempotency-replayed", "x-request-id"] {
            assert!(exposed.contains(name), "{name} is not in {exposed}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    let asks = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    for app in [app_for(SHOP), app()] {
        let response = app.oneshot(options("/orders", &asks)).await.unwrap();
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn who_asks_for_the_methods_is_not_taken_for_a_browser() {
    let ask = async |path| app_for(SHOP).oneshot(options(path, &[])).await.unwrap();
    let response = ask("/orders").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()[header::ALLOW], "POST");
    assert_eq!(ask("/nowhere").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_answer_holds_what_a_terminal_would_obey() {
    let body = "{\"lines\":[],\"\u{9b}2J\u{7f}\u{202e}\":1}";
    let routes = Router::new().route("/", post(async |body: JsonBody<Value>| body));
    let routes = finish(routes, &settings());
    let response = routes.oneshot(post_of("/", &[JSON], body)).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let answer = text(response).await;
    assert!(!answer.chars().any(crate::visible_text::is_hidden), "{answer}");
    let same: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(same, serde_json::from_str::<Value>(body).unwrap());
    let told = send(post_of("/orders", &[JSON], "{\"lines\":\"\u{9b}2J\"}")).await;
    let told = text(told).await;
    assert!(told.contains("9b") && !told.chars().any(crate::visible_text::is_hidden), "{told}");
}
