//! Invalid requests to every endpoint of the four services: each is refused with its reason, in one
//! form, and has no effect.

use devstack::TestWait;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::stage::{self, answered};

/// An operation, as the description of its API has it, and the address that it is asked at.
struct Operation {
    base: String,
    method: Method,
    /// With `{…}` in it.
    path: String,
    has_body: bool,
    has_key: bool,
    has_query: bool,
}

async fn operations(http: &Client, base: &str) -> Vec<Operation> {
    let document = answered(http.get(format!("{base}/openapi.json"))).await;
    let document: Value = document.json().await.unwrap();
    let mut found = vec![];
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let has = |place: &str, name: &str| {
                let mut parameters = parameters.iter();
                parameters
                    .any(|value| value["in"] == place && (name.is_empty() || value["name"] == name))
            };
            found.push(Operation {
                base: base.to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                has_body: operation.get("requestBody").is_some(),
                has_key: has("header", "Idempotency-Key"),
                has_query: has("query", ""),
            });
        }
    }
    found
}

impl Operation {
    /// The address, with something else in place of what is variable.
    fn url(&self, id: &str) -> String {
        let fixed = |segment: &str| {
            if segment.starts_with('{') { id.to_owned() } else { segment.to_owned() }
        };
        let path: Vec<_> = self.path.split('/').map(fixed).collect();
        format!("{}{}", self.base, path.join("/"))
    }

    /// An id that could be one.
    fn some_id(&self) -> &'static str {
        if self.path.contains("order_id") {
            "00000000-0000-7000-8000-000000000007"
        } else {
            "coffee-beans"
        }
    }

    fn request(&self, http: &Client) -> RequestBuilder {
        http.request(self.method.clone(), self.url(self.some_id()))
    }

    /// The request with this body, and a key if it needs one.
    fn with_body(&self, http: &Client, content_type: &str, body: Vec<u8>) -> RequestBuilder {
        let mut request = self.request(http).body(body);
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        if self.has_key { request.header("Idempotency-Key", "k") } else { request }
    }
}

/// Each request has a connection of its own: after some refusals the server hangs up, and who asks
/// next on the same one may not be answered.
fn client() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

/// Sends a request until it is answered: the server may hang up on a body while it is being sent,
/// and a 503 that says when to come back is asked again.
async fn sent(request: &RequestBuilder) -> Response {
    let mut patience = TestWait::until("an answer");
    loop {
        let seen = match request.try_clone().unwrap().send().await {
            Ok(it) if it.status() == StatusCode::SERVICE_UNAVAILABLE => "told to come back".into(),
            Ok(response) => return response,
            Err(error) => format!("{error:?}"),
        };
        patience.look_again(seen).await;
    }
}

/// Words of the program that a caller cannot know.
const OF_THE_PROGRAM: [&str; 8] = [
    "unknown variant",
    "missing field",
    "invalid type",
    "struct ",
    "u16",
    "i64",
    "serde",
    "parsing",
];

/// Properties of every refusal.
async fn assert_refused(http: &Client, base: &str, case: &str, request: RequestBuilder) -> Value {
    let response = sent(&request).await;
    let status = response.status().as_u16();
    let form = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    assert!((400..500).contains(&status), "{case}: {status} {text}");
    assert_eq!(form.as_deref(), Some("application/problem+json"), "{case}: {text}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status, "{case}: {text}");
    for part in ["title", "detail", "code", "instance", "trace_id"] {
        assert!(
            problem[part].as_str().is_some_and(|text| !text.is_empty()),
            "{case}: {part}: {text}"
        );
    }
    assert!(problem["instance"].as_str().unwrap().starts_with("urn:uuid:"), "{case}: {text}");
    let lower = |part: &str| problem[part].as_str().unwrap().to_lowercase();
    assert_ne!(lower("detail"), lower("title"), "{case}: {text}");
    for word in OF_THE_PROGRAM {
        assert!(!lower("detail").contains(word), "{case}: {word}: {text}");
    }
    if problem["code"] == "invalid-body" {
        let errors = problem["errors"].as_array().unwrap();
        let pointer = errors[0]["pointer"].as_str().unwrap();
        assert!(pointer.is_empty() || pointer.starts_with('/'), "{case}: {text}");
    }
    let page = answered(http.get(format!("{base}{}", problem["type"].as_str().unwrap()))).await;
    assert_eq!(page.status().as_u16(), 200, "{case}: {text}");
    problem
}

/// Bodies that nobody wants: their names, what they are and the kinds of problem that they may be.
fn bodies() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let malformed: &[&str] = &["malformed-json"];
    let invalid: &[&str] = &["invalid-body"];
    let either: &[&str] = &["malformed-json", "invalid-body"];
    vec![
        ("nothing", vec![], malformed),
        ("cut off", b"{".to_vec(), malformed),
        ("two values", b"{} {}".to_vec(), either),
        ("not UTF-8", b"{\"a\":\"\xff\"}".to_vec(), either),
        ("compressed", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0], malformed),
        ("deep", b"[".repeat(10_000), either),
        ("NaN", b"{\"quantity\":NaN}".to_vec(), either),
        ("too large a number", b"{\"quantity\":1e400}".to_vec(), either),
        ("null", b"null".to_vec(), invalid),
        ("a list", b"[]".to_vec(), invalid),
        ("a text", b"\"order\"".to_vec(), invalid),
        ("a number", b"1".to_vec(), invalid),
        ("an empty object", b"{}".to_vec(), invalid),
        ("an unknown field", b"{\"surprise\":1}".to_vec(), invalid),
        ("a name twice", b"{\"quantity\":1,\"quantity\":2}".to_vec(), invalid),
        // Small enough to be sent before the server hangs up on it.
        ("too much", vec![b' '; 300_000], &["body-too-large"]),
    ]
}

async fn refuses_bodies(http: &Client, it: &Operation) {
    for (name, body, codes) in bodies() {
        let case = format!("{} {} {name}", it.method, it.path);
        let request = it.with_body(http, "application/json", body);
        let problem = assert_refused(http, &it.base, &case, request).await;
        assert!(codes.contains(&problem["code"].as_str().unwrap()), "{case}: {problem}");
    }
    for content_type in ["", "text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        let case = format!("{} {} as {content_type}", it.method, it.path);
        let request = it.with_body(http, content_type, b"{}".to_vec());
        let problem = assert_refused(http, &it.base, &case, request).await;
        assert_eq!(problem["code"], "unsupported-media-type", "{case}");
    }
}

async fn refuses_keys(http: &Client, it: &Operation) {
    let request = || it.request(http).header(header::CONTENT_TYPE, "application/json").body("{}");
    let missing = assert_refused(http, &it.base, "no key", request()).await;
    assert_eq!(missing["code"], "idempotency-key-missing");
    let long = "k".repeat(300);
    for keys in
        [&[""][..], &["a", "b"], &["two words"], &["\"open"], &["a\tb"], &["\"\""], &[&long]]
    {
        let with =
            keys.iter().fold(request(), |request, key| request.header("Idempotency-Key", *key));
        let problem = assert_refused(http, &it.base, &format!("{keys:?}"), with).await;
        assert_eq!(problem["code"], "idempotency-key-malformed", "{keys:?}");
    }
    let nobody = request().header("Idempotency-Key", "k").header("X-Client-Id", "two words");
    let problem = assert_refused(http, &it.base, "no client", nobody).await;
    assert_eq!(problem["code"], "malformed-request");
}

async fn refuses_paths_and_queries(http: &Client, it: &Operation) {
    let base = &it.base;
    let other = http.request(Method::DELETE, it.url(it.some_id()));
    let problem = assert_refused(http, base, &it.path, other).await;
    assert_eq!(problem["code"], "method-not-allowed");
    if it.path.contains('{') {
        let long = "x".repeat(3_000);
        for id in [
            "%00",
            "%ff",
            "%0d%0aX-A:%20b",
            "..%2f..",
            "'%3B--",
            "%F0%9F%8D%B5",
            "%E2%80%AE",
            &long,
        ] {
            let case = format!("{} {} {id:.20}", it.method, it.path);
            let mut request = http.request(it.method.clone(), it.url(id));
            if it.has_body {
                request = request.json(&serde_json::json!({ "quantity": 1, "name": "a", "price_minor": 1, "currency": "EUR" }));
                request = request.header("Idempotency-Key", "k");
            }
            // A body with a field too many is refused as well, and that is as good.
            assert_refused(http, base, &case, request).await;
        }
    }
    if it.has_query {
        for query in [
            "surprise=1",
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=NaN",
            "limit=99999999999999999999",
            "limit=1&limit=2",
            "cursor=%00",
            "cursor=%ff",
        ] {
            let case = format!("{}?{query}", it.path);
            let request = http.get(format!("{}?{query}", it.url("")));
            let problem = assert_refused(http, base, &case, request).await;
            assert_eq!(problem["code"], "malformed-request", "{case}");
        }
    }
}

/// Each refusal in the description has examples with its status, whose pages exist; says how many
/// examples there are.
async fn examples_are_of_their_kind(http: &Client, base: &str) -> usize {
    let document = answered(http.get(format!("{base}/openapi.json"))).await;
    let document: Value = document.json().await.unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut seen = 0;
    let operations = document["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|methods| methods.as_object().unwrap().values()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let content = &response["content"]["application/problem+json"];
            if content.is_null() {
                continue;
            }
            let examples = content["examples"].as_object();
            let examples = examples.unwrap_or_else(|| panic!("{operation} {status}"));
            for (code, example) in examples {
                let value = &example["value"];
                assert_eq!(value["code"], code.as_str(), "{status}: {value}");
                assert_ne!(value["detail"], value["title"], "{value}");
                if status != "default" {
                    assert_eq!(value["status"].to_string(), *status, "{value}");
                }
                let page = format!("{base}{}", value["type"].as_str().unwrap());
                assert_eq!(answered(http.get(page)).await.status(), 200, "{value}");
                seen += 1;
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_stranger_sends_to_any_endpoint_is_refused_in_one_form_and_nothing_is_done() {
    let (stage, http) = (stage::open().await, client());
    let mut asked = 0;
    for member in ProcessName::SERVICES {
        let base = stage.cluster.url(member);
        for operation in operations(&http, &base).await {
            refuses_paths_and_queries(&http, &operation).await;
            if operation.has_body {
                refuses_bodies(&http, &operation).await;
            }
            if operation.has_key {
                refuses_keys(&http, &operation).await;
            }
            asked += 1;
        }
        let typed = examples_are_of_their_kind(&http, &base).await;
        assert!(typed >= 5, "{member}: {typed} examples");
        assert_refused(&http, &base, "nowhere", http.get(format!("{base}/nowhere"))).await;
    }
    assert!(asked >= 14, "{asked} operations are described");
    assert!(stage.close(AuditExpectation::default()).await.orders.is_empty());
}
