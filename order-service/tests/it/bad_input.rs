//! Invalid input: refused with its reason, without any effect.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, header},
};
use serde_json::{Value, json};

use crate::kit::{Reply, Shop, TOTAL_MAX, ask, order_request, two_teas};

/// Every refusal is a problem that says what it is.
fn assert_problem(case: &str, reply: &Reply, status: u16, code: &str) {
    let body = reply.json();
    assert_eq!(reply.status.as_u16(), status, "{case}: {body}");
    assert_eq!(reply.code(), code, "{case}: {body}");
    assert_eq!(reply.header("content-type"), "application/problem+json", "{case}");
    assert_eq!(body["type"], format!("/problems/{code}"), "{case}");
    assert_eq!(body["status"], status, "{case}");
    let instance = body["instance"].as_str().unwrap_or_default();
    assert!(instance.starts_with("urn:uuid:"), "{case}: {body}");
    let (title, detail) = (body["title"].as_str().unwrap(), body["detail"].as_str().unwrap());
    assert_ne!(detail.to_lowercase(), title.to_lowercase(), "{case}");
    for word in ["unknown variant", "missing field", "invalid type", "expected ", "struct ", "u16"]
    {
        assert!(!detail.contains(word), "{case}: {detail}");
    }
}

/// A body with one part replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = two_teas();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match name.parse::<usize>() {
        Ok(place) => parent[place] = value,
        Err(_name) => parent[name] = value,
    }
    body
}

fn without(name: &str) -> Value {
    let mut body = two_teas();
    body.as_object_mut().unwrap().remove(name);
    body
}

fn lines(n: usize) -> Value {
    (0..n).map(|i| json!({ "sku": format!("sku-{i}"), "quantity": 1 })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_wrong_is_refused_at_the_place_where_it_is_wrong() {
    let shop = Shop::open().await;
    let quantity = "/lines/0/quantity";
    let cases = [
        (quantity, json!(0), "out-of-range"),
        (quantity, json!(-1), "out-of-range"),
        (quantity, json!(10_001), "out-of-range"),
        (quantity, json!(1_u64 << 31), "out-of-range"),
        (quantity, json!(1_u64 << 63), "mismatch"),
        (quantity, json!(1.5), "mismatch"),
        (quantity, json!("2"), "mismatch"),
        (quantity, Value::Null, "mismatch"),
        ("/lines", json!([]), "line-count"),
        ("/lines", lines(101), "line-count"),
        ("/lines", lines(5_000), "line-count"),
        ("/lines", Value::Null, "mismatch"),
        ("/lines", json!({}), "mismatch"),
        ("/lines/0", json!("tea"), "mismatch"),
        ("/lines/0/sku", json!(""), "malformed-sku"),
        ("/lines/0/sku", json!("te\0a"), "malformed-sku"),
        ("/lines/0/sku", json!("🍵"), "malformed-sku"),
        ("/lines/0/sku", json!("'; DROP TABLE orders; --"), "malformed-sku"),
        ("/lines/0/sku", json!("x".repeat(65)), "malformed-sku"),
        ("/lines/0/sku", json!(1), "mismatch"),
        ("/currency", json!("eur"), "malformed-currency"),
        ("/currency", json!("EU\0"), "malformed-currency"),
        ("/currency", json!("XYZ"), "unknown-currency"),
        ("/currency", json!("XXX"), "unknown-currency"),
        ("/currency", json!("XAU"), "unknown-currency"),
        ("/currency", Value::Null, "mismatch"),
        ("/payment_method", json!(""), "malformed-token"),
        ("/payment_method", json!("tok visa"), "malformed-token"),
        ("/payment_method", json!("4242424242424242"), "card-number"),
        ("/customer", json!("ada"), "mismatch"),
        ("/customer/email", json!("ada"), "malformed-email"),
        ("/customer/email", json!("a@b.example\r\nBcc: all@b.example"), "malformed-email"),
        ("/customer/email", json!("a\u{202e}@b.example"), "malformed-email"),
        ("/customer/email", json!("a\0@b.example"), "malformed-email"),
        ("/customer/name", json!("Ada\r\nBcc: all@b.example"), "malformed-name"),
        ("/customer/name", json!("A\0da"), "malformed-name"),
        ("/customer/name", json!("a".repeat(201)), "malformed-name"),
        ("/customer/phone", json!("1"), "mismatch"),
        ("/discount", json!(100), "mismatch"),
    ];
    for (n, (pointer, value, code)) in cases.into_iter().enumerate() {
        let case = format!("{pointer} = {value:.40}");
        let reply = shop.post(&format!("k{n}"), &with(pointer, value)).await;
        assert_problem(&case, &reply, 422, "invalid-body");
        let error = &reply.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)), "{case}");
    }
    for name in ["lines", "currency", "payment_method", "customer"] {
        let reply = shop.post("k", &without(name)).await;
        assert_problem(name, &reply, 422, "invalid-body");
        let error = &reply.json()["errors"][0];
        assert_eq!(error["pointer"], format!("/{name}"));
        assert_eq!(error["detail"], "is missing");
    }
    // A list of the members' values is no object either.
    let list = json!([[], "EUR", "tok_visa", { "email": "ada@example.org" }]);
    for body in [Value::Null, json!([]), list, json!("order"), json!(1)] {
        assert_problem("no object", &shop.post("k", &body).await, 422, "invalid-body");
    }
    assert_eq!(shop.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_said_at_once() {
    let shop = Shop::open().await;
    let mut body = with("/lines/0/quantity", json!(0));
    body["lines"].as_array_mut().unwrap().push(json!({ "sku": "", "quantity": 1 }));
    body["customer"]["email"] = json!("ada");
    let reply = shop.post("k", &body).await.json();
    let pointers: Vec<_> = reply["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/lines/0/quantity", "/lines/1/sku", "/customer/email"]);

    let twice = json!([{ "sku": "tea", "quantity": 1 }, { "sku": "tea", "quantity": 1 }]);
    let reply = shop.post("k", &with("/lines", twice)).await;
    assert_problem("the same SKU twice", &reply, 422, "invalid-body");
    assert_eq!(reply.json()["errors"][0]["pointer"], "/lines/1/sku");
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_cannot_be_had_are_named() {
    let shop = Shop::open().await;
    shop.offer("old", 100, "EUR", false).await;
    shop.offer("foreign", 100, "USD", true).await;
    shop.offer("moon", (1 << 53) - 1, "EUR", true).await;
    let line = |sku: &str, quantity: i64| json!({ "sku": sku, "quantity": quantity });
    let cases = [
        (json!([line("tea", 1), line("ghost", 1)]), "/lines/1/sku", "unknown-sku"),
        (json!([line("old", 1)]), "/lines/0/sku", "inactive-sku"),
        (json!([line("foreign", 1)]), "/currency", "other-currency"),
        (json!([line("moon", 2)]), "/lines", "total-too-large"),
        (json!([line("moon", 1), line("tea", 1)]), "/lines", "total-too-large"),
    ];
    for (lines, pointer, code) in cases {
        let reply = shop.post("k", &with("/lines", lines)).await;
        assert_problem(code, &reply, 422, "not-orderable");
        let error = &reply.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)));
    }
    assert_eq!(shop.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_no_gateway_charges_is_refused_when_the_order_is_placed() {
    let shop = Shop::open().await;
    shop.offer("yacht", TOTAL_MAX, "EUR", true).await;
    let line = |sku: &str, quantity: i64| json!({ "sku": sku, "quantity": quantity });
    for lines in [json!([line("yacht", 2)]), json!([line("yacht", 1), line("tea", 1)])] {
        let reply = shop.post("k", &with("/lines", lines)).await;
        assert_problem("a large total", &reply, 422, "not-orderable");
        let error = reply.json()["errors"][0].clone();
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!("/lines"), &json!("total-too-large"))
        );
        let detail = error["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(&TOTAL_MAX.to_string()), "{error}");
    }
    let largest = with("/lines", json!([line("yacht", 1)]));
    assert_eq!(shop.post("k", &largest).await.status.as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_script_are_taken() {
    let shop = Shop::open().await;
    for (n, name) in ["علي", "😀", "<script>", "Robert'); DROP TABLE orders;--"].iter().enumerate()
    {
        let reply = shop.post(&format!("k{n}"), &with("/customer/name", json!(name))).await;
        assert_eq!(reply.status.as_u16(), 202, "{name}");
    }
    let nameless = json!({ "email": "ada@example.org" });
    assert_eq!(shop.post("k", &with("/customer", nameless)).await.status.as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused() {
    let shop = Shop::open().await;
    let request = |keys: &[&[u8]]| {
        let mut request = order_request("k", &two_teas());
        request.headers_mut().remove("idempotency-key");
        for key in keys {
            let value = HeaderValue::from_bytes(key).unwrap();
            request.headers_mut().append("idempotency-key", value);
        }
        request
    };
    let missing = ask(&shop.api, request(&[])).await;
    assert_problem("no key", &missing, 400, "idempotency-key-missing");
    let long = vec![b'k'; 300];
    let bad: [&[&[u8]]; 8] = [
        &[b"a", b"b"],
        &[b""],
        &[b"\"\""],
        &[&long],
        &[b"two words"],
        &[b"a\tb"],
        &["schlüssel".as_bytes()],
        &[b"\"open"],
    ];
    for keys in bad {
        let reply = ask(&shop.api, request(keys)).await;
        assert_problem(&format!("{keys:?}"), &reply, 400, "idempotency-key-malformed");
    }
    assert_eq!(shop.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_refused() {
    let shop = Shop::open().await;
    let order = two_teas().to_string();
    let send = async |content_type: &str, body: Vec<u8>| {
        let mut request = order_request("k", &Value::Null);
        *request.body_mut() = Body::from(body);
        request.headers_mut().remove(header::CONTENT_TYPE);
        if !content_type.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        ask(&shop.api, request).await
    };
    let json = "application/json";
    let malformed: [(&str, Vec<u8>); 8] = [
        ("nothing", vec![]),
        ("cut off", order.as_bytes()[..20].to_vec()),
        ("trailing", format!("{order} x").into_bytes()),
        ("not UTF-8", b"{\"currency\":\"\xff\"}".to_vec()),
        ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
        ("deep", "[".repeat(10_000).into_bytes()),
        ("NaN", order.replace('2', "NaN").into_bytes()),
        ("1e400", order.replace('2', "1e400").into_bytes()),
    ];
    for (case, body) in malformed {
        assert_problem(case, &send(json, body).await, 400, "malformed-json");
    }
    let twice = order.replacen('{', "{\"currency\":\"USD\",", 1).into_bytes();
    assert_problem("a name twice", &send(json, twice).await, 422, "invalid-body");
    for content_type in ["", "text/plain", "multipart/form-data", "application/xml"] {
        let reply = send(content_type, order.clone().into_bytes()).await;
        assert_problem(content_type, &reply, 415, "unsupported-media-type");
    }
    let large = send(json, format!("{order}{}", " ".repeat(300_000)).into_bytes()).await;
    assert_problem("large", &large, 413, "body-too-large");
    assert_eq!(shop.count().await, 0);
    let suffixed = send("application/json; charset=utf-8", order.into_bytes()).await;
    assert_eq!(suffixed.status.as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_query_that_is_none_is_refused() {
    let shop = Shop::open().await;
    let nobody = "00000000-0000-7000-8000-000000000007";
    let cases = [
        (Method::GET, "/orders/seven".to_owned(), 400, "malformed-request"),
        (Method::GET, format!("/orders/{nobody}"), 404, "order-not-found"),
        (Method::POST, format!("/orders/{nobody}/cancel"), 404, "order-not-found"),
        (Method::POST, "/orders/seven/cancel".to_owned(), 400, "malformed-request"),
        (Method::DELETE, format!("/orders/{nobody}"), 405, "method-not-allowed"),
        (Method::GET, "/order".to_owned(), 404, "not-found"),
        (Method::GET, "/orders?limit=0".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?limit=201".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?limit=ten".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?limit=99999999999".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?cursor=seven".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?status=lost".to_owned(), 400, "malformed-request"),
        (Method::GET, "/orders?sort=price".to_owned(), 400, "malformed-request"),
        (Method::GET, "/products?limit=0".to_owned(), 400, "malformed-request"),
        (Method::GET, "/products?cursor=two%20words".to_owned(), 400, "malformed-request"),
        (Method::GET, "/products?cursor=%00".to_owned(), 400, "malformed-request"),
    ];
    for (method, path, status, code) in cases {
        let reply = shop.ask(method.clone(), &path).await;
        assert_problem(&format!("{method} {path}"), &reply, status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_end_is_cut_off() {
    let shop = Shop::open().await;
    let chunk = || Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]);
    let endless = futures_util::stream::repeat_with(chunk);
    let request = Request::post("/orders")
        .header("idempotency-key", "k")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(endless))
        .unwrap();
    assert_problem("endless", &ask(&shop.api, request).await, 413, "body-too-large");
}
