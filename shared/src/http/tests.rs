use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::*;
use crate::{
    batcher::SubmitError,
    health::ProcessHealth,
    idempotency::{HttpAnswer, IdempotencyKey, IdempotentAnswer},
    telemetry::{self, ProcessMetrics},
};

mod edges;
mod people;

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    lines: Vec<Line>,
    name: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Line {
    quantity: u32,
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: u32,
}

fn settings() -> HttpSettings {
    HttpSettings {
        body_bytes_max: 1_000,
        request_limit: Duration::from_millis(200),
        ..HttpSettings::default()
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(info(title = "shop", description = "Sells things."))]
struct Document;

fn app() -> Router {
    let routes = Router::new()
        .route("/orders", post(async |_order: JsonBody<Order>| StatusCode::ACCEPTED))
        .route(
            "/keyed",
            post(async |body: IdempotentBody<Order>| {
                format!("{}: {}", body.key.key.scope, body.key.key.key.as_str())
            }),
        )
        .route(
            "/may-be-keyed",
            post(async |key: Option<IdempotencyKey>| format!("{}", key.is_some())),
        )
        .route("/orders/{id}", get(async |PathParams(id): PathParams<Uuid>| id.to_string()))
        .route("/page", get(async |QueryParams(page): QueryParams<Page>| page.limit.to_string()))
        .route("/panic", get(async || -> StatusCode { panic!("a handler panics") }))
        .route("/hang", get(std::future::pending::<StatusCode>))
        .route("/full", get(async || Problem::from(SubmitError::Full)))
        .route(
            "/who",
            get(async |RequestContext { trace, .. }: RequestContext| {
                let state = trace.state.as_ref().map_or("-", |state| state.as_str());
                format!("{} {state}", trace.parent)
            }),
        );
    let document = describe(<Document as utoipa::OpenApi>::openapi(), &[]);
    finish(api_routes(routes, ApiPages { document, problems: &[] }), &settings())
}

async fn send(request: Request<Body>) -> Response {
    app().oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1_000_000).await.unwrap().to_vec()).unwrap()
}

fn get_of(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post_of(path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// What every problem must be, whatever it is about.
async fn problem_of(request: Request<Body>, kind: ProblemType) -> (HeaderMap, Value) {
    let response = send(request).await;
    assert_eq!(response.status(), kind.status, "{kind:?}");
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["type"], format!("/problems/{}", kind.code));
    assert_eq!(body["code"], kind.code);
    assert_eq!(body["title"], kind.title);
    assert_eq!(body["status"], kind.status.as_u16());
    let id = headers["x-request-id"].to_str().unwrap();
    assert_eq!(body["request_id"], id);
    assert_eq!(body["instance"], format!("urn:uuid:{id}"));
    assert_helps(&body);
    assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
    (headers, body)
}

/// What is wrong is said, and it is not the title again.
fn assert_helps(body: &Value) {
    let detail = body["detail"].as_str().unwrap_or_else(|| panic!("no detail: {body}"));
    let said = |text: &str| text.trim_end_matches('.').to_lowercase();
    assert_ne!(said(detail), said(body["title"].as_str().unwrap()), "{body}");
}

#[test]
fn no_kind_of_problem_says_its_title_again() {
    for kind in problem::ALL {
        assert_helps(&serde_json::to_value(kind.example()).unwrap());
    }
    for refused in [
        SubmitError::Full,
        SubmitError::Overloaded { retry_after: Duration::from_secs(1) },
        SubmitError::Unavailable,
        SubmitError::Busy,
        SubmitError::Failed,
        SubmitError::Stopping,
    ] {
        assert_helps(&serde_json::to_value(Problem::from(refused).document(None)).unwrap());
    }
}

#[tokio::test]
async fn an_instance_is_a_urn_or_is_left_out() {
    let ask = async |id: &str| {
        let mut request = get_of("/nowhere");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        let body: Value = serde_json::from_str(&text(send(request).await).await).unwrap();
        assert_eq!(body["request_id"], id);
        body.get("instance").cloned()
    };
    let id = "01a20fcc-a92c-76ef-87b5-a07309aa9900";
    assert_eq!(ask(id).await, Some(json!(format!("urn:uuid:{id}"))));
    assert_eq!(ask("mine").await, None);
}

#[tokio::test]
async fn whatever_cannot_be_read_is_a_problem() {
    use problem::*;
    let deep = "[".repeat(500);
    let large = format!("\"{}\"", "x".repeat(1_000));
    for (request, kind) in [
        (post_of("/orders", &[JSON], "{"), MALFORMED_JSON),
        (post_of("/orders", &[JSON], ""), MALFORMED_JSON),
        (post_of("/orders", &[JSON], r#"{"lines":[]} more"#), MALFORMED_JSON),
        (post_of("/orders", &[JSON], &deep), MALFORMED_JSON),
        (post_of("/orders", &[JSON], "\"\u{0}\""), MALFORMED_JSON),
        (post_of("/orders", &[JSON], &large), BODY_TOO_LARGE),
        (post_of("/orders", &[JSON], "[]"), INVALID_BODY),
        (post_of("/orders", &[], r#"{"lines":[]}"#), UNSUPPORTED_MEDIA_TYPE),
        (post_of("/orders", &[("content-type", "text/plain")], "{}"), UNSUPPORTED_MEDIA_TYPE),
        (get_of("/orders/17"), MALFORMED_REQUEST),
        (get_of("/page"), MALFORMED_REQUEST),
        (get_of("/page?limit=-1"), MALFORMED_REQUEST),
        (get_of("/nowhere"), NOT_FOUND),
        (get_of("/orders"), METHOD_NOT_ALLOWED),
        (get_of("/problems/none"), NOT_FOUND),
        (options("/nowhere", &[]), NOT_FOUND),
        (post_of("/orders", &[JSON], "\u{feff}"), MALFORMED_JSON),
        (post_of("/orders", &[JSON], "\u{feff}\u{feff}{\"lines\":[]}"), MALFORMED_JSON),
        (get_of("/panic"), INTERNAL),
        (get_of("/hang"), TIMEOUT),
        (get_of("/full"), OVERLOADED),
    ] {
        let about = format!("{} {}", request.method(), request.uri());
        let (headers, _) = problem_of(request, kind).await;
        let asks_again = kind.status == StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(headers.contains_key(header::RETRY_AFTER), asks_again, "{about}");
        assert_eq!(headers.contains_key(header::ALLOW), kind == METHOD_NOT_ALLOWED, "{about}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_told_where() {
    let body = r#"{"lines":[{"quantity":1},{"quantity":"two"}]}"#;
    for (path, headers) in
        [("/orders", &[JSON][..]), ("/keyed", &[JSON, ("idempotency-key", "k")][..])]
    {
        let (_, problem) = problem_of(post_of(path, headers, body), problem::INVALID_BODY).await;
        let detail = "has to be a whole number from 0 to 4294967295, but is 'two'";
        let error =
            json!([{ "pointer": "/lines/1/quantity", "detail": detail, "code": "mismatch" }]);
        assert_eq!(problem["errors"], error);
    }
}

#[tokio::test]
async fn a_body_that_says_so_in_any_form_of_json_is_read() {
    for content_type in ["application/json; charset=utf-8", "Application/Vnd.Shop+JSON"] {
        let headers = [("content-type", content_type)];
        let response = send(post_of("/orders", &headers, r#"{"lines":[]}"#)).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
}

fn options(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = post_of(path, headers, "");
    *request.method_mut() = Method::OPTIONS;
    request
}

#[tokio::test]
async fn a_request_that_needs_a_key_is_told_what_is_wrong_with_it() {
    use problem::*;
    let body = r#"{"lines":[]}"#;
    let key = |key| [JSON, ("idempotency-key", key)];
    problem_of(post_of("/keyed", &[JSON], body), IDEMPOTENCY_KEY_MISSING).await;
    problem_of(post_of("/keyed", &key("a b"), body), IDEMPOTENCY_KEY_MALFORMED).await;
    problem_of(post_of("/may-be-keyed", &key("a b"), body), IDEMPOTENCY_KEY_MALFORMED).await;
    let keyed = text(send(post_of("/keyed", &key("\"k-1\""), body)).await).await;
    assert_eq!(keyed, "POST /keyed: k-1");
    let by = |name| [JSON, ("idempotency-key", "k-1"), ("x-client-id", name)];
    let keyed = text(send(post_of("/keyed", &by("ada"), body)).await).await;
    assert_eq!(keyed, "POST /keyed by ada: k-1");
    let long = "a".repeat(101);
    for name in ["", "a b", &long] {
        problem_of(post_of("/keyed", &by(name), body), MALFORMED_REQUEST).await;
    }
    let twice = [&by("ada")[..], &[("x-client-id", "bob")]].concat();
    problem_of(post_of("/keyed", &twice, body), MALFORMED_REQUEST).await;
    assert_eq!(text(send(post_of("/may-be-keyed", &[], "")).await).await, "false");
}

#[tokio::test]
async fn a_request_keeps_the_ids_that_it_came_with() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/who")
        .header("x-request-id", "mine")
        .header("traceparent", parent)
        .body(Body::empty())
        .unwrap();
    let response = send(request).await;
    assert_eq!(response.headers()["x-request-id"], "mine");
    // Nothing is recorded here, so no span of ours comes between.
    assert_eq!(text(response).await, format!("{parent} -"));
}

#[tokio::test]
async fn a_tracestate_is_kept_beside_its_traceparent_and_dropped_if_it_is_none() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asked = async |headers: &[(&str, &[u8])]| {
        let mut request = Request::get("/who");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        text(response).await
    };
    let whole = ("traceparent", parent.as_bytes());
    let kept = asked(&[whole, ("tracestate", b"rojo=1"), ("tracestate", b"congo=2")]).await;
    assert_eq!(kept, format!("{parent} rojo=1,congo=2"));
    for bad in [&b"Rojo"[..], b"", b"rojo=\xff", &b"x".repeat(600)] {
        assert_eq!(asked(&[whole, ("tracestate", bad)]).await, format!("{parent} -"));
    }
    let alone = asked(&[("tracestate", b"rojo=1")]).await;
    assert!(alone.ends_with(" -"), "{alone}");
}

#[tokio::test]
async fn ids_that_nobody_could_have_meant_are_replaced() {
    for id in ["", "a b", &"x".repeat(129)] {
        let request = Request::get("/who")
            .header("x-request-id", id)
            .header("traceparent", "00-zz")
            .body(Body::empty())
            .unwrap();
        let response = send(request).await;
        let ours = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(Uuid::parse_str(&ours).is_ok(), "{ours}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_server_fail(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = Request::post("/orders")
            .header(JSON.0, JSON.1)
            .body(Body::from(body))
            .unwrap();
        let status = runtime.block_on(send(request)).status();
        prop_assert!(status.is_client_error() || status.is_success(), "{}", status);
    }
}

#[test]
fn every_problem_has_its_page() {
    assert_eq!(has_pages(problem::ALL, &[]), Ok(()));
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_page() {
    let (_, body) = problem_of(get_of("/nowhere"), problem::NOT_FOUND).await;
    let page = send(get_of(body["type"].as_str().unwrap())).await;
    assert_eq!(page.headers()[header::CONTENT_TYPE], "text/markdown; charset=utf-8");
    assert!(text(page).await.starts_with("# There is nothing under this path\n"));
}

#[tokio::test]
async fn an_answer_is_replayed_as_it_was_and_marked() {
    let location = Some("/orders/1".to_owned());
    let answer = HttpAnswer { status: 202, location, body: "{\"id\":1}".to_owned() };
    for replayed in [false, true] {
        let answered = IdempotentAnswer::Accepted { answer: answer.clone(), replayed };
        let response = respond(answered, |never: Problem| never).unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[header::LOCATION], "/orders/1");
        assert_eq!(response.headers().contains_key("idempotency-replayed"), replayed);
        assert_eq!(text(response).await, "{\"id\":1}");
    }
}

#[tokio::test]
async fn operators_see_liveness_readiness_and_metrics() {
    let health = ProcessHealth::default();
    let database = health.component("database");
    let relay = health.component("relay");
    relay.ready();
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    send(get_of("/page?limit=3")).await;
    let ask = async |path: &str| {
        let (process_metrics, metrics) = (ProcessMetrics::of(health.clone()), metrics.clone());
        let settings = HttpSettings::default();
        let router = AdminRoutes::new("shop", process_metrics, metrics, settings).router();
        let response = router.oneshot(get_of(path)).await.unwrap();
        (response.status(), text(response).await)
    };
    assert_eq!(ask("/livez").await.0, StatusCode::OK);
    let (status, body) = ask("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, r#"{"ready":false,"parts":{"database":"starting"}}"#);
    database.ready();
    assert_eq!(ask("/readyz").await, (StatusCode::OK, r#"{"ready":true,"parts":{}}"#.to_owned()));
    let (_, verbose) = ask("/readyz?verbose").await;
    assert_eq!(verbose, r#"{"ready":true,"parts":{"database":"ready","relay":"ready"}}"#);
    let (_, numbers) = ask("/metrics").await;
    let line = r#"http_requests_total{method="GET",route="/page",status="200"}"#;
    assert!(numbers.contains(line), "{numbers}");
    assert!(numbers.contains("http_request_duration_seconds_bucket"), "{numbers}");
    // A second start in one process is given the same numbers.
    assert!(telemetry::init(telemetry::LogFormat::Json, "off").unwrap().render().contains(line));
}
