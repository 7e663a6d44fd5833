//! What a first visitor sees: the index, the pages of problems, words instead of type names.

use super::*;

const BROWSER: (&str, &str) =
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

async fn page(path: &str, headers: &[(&str, &str)]) -> (HeaderMap, String) {
    let mut request = post_of(path, headers, "");
    *request.method_mut() = Method::GET;
    let response = send(request).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    (response.headers().clone(), text(response).await)
}

#[tokio::test]
async fn a_browser_is_shown_pages_and_a_program_what_it_can_read() {
    for (path, form, heading) in [
        ("/", "application/json", "shop"),
        ("/problems", "text/markdown; charset=utf-8", "Problems that this service answers"),
        ("/problems/busy", "text/markdown; charset=utf-8", problem::BUSY.title),
    ] {
        let (headers, html) = page(path, &[BROWSER]).await;
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
        assert_eq!(headers[header::VARY], "accept", "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(html.contains(&format!("<h1>{heading}</h1>")), "{html}");
        for program in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
            let (headers, _) = page(path, program).await;
            assert_eq!(headers[header::CONTENT_TYPE], form, "{path}");
            assert_eq!(headers[header::VARY], "accept", "{path}");
        }
    }
}

#[tokio::test]
async fn whatever_the_index_and_the_list_of_problems_lead_to_is_there() {
    let (_, index) = page("/", &[]).await;
    let index: Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["version"], env!("CARGO_PKG_VERSION"));
    for link in index["links"].as_array().unwrap() {
        page(link["path"].as_str().unwrap(), &[]).await;
    }
    let (_, list) = page("/problems", &[]).await;
    let paths: Vec<&str> =
        list.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(paths.len(), problem::ALL.len());
    for path in paths {
        let (_, html) = page(path, &[BROWSER]).await;
        assert!(html.contains("<h1>") && html.contains("<strong>What to do.</strong>"), "{html}");
    }
}

#[tokio::test]
async fn head_is_answered_where_get_is_and_with_the_same_head() {
    for path in
        ["/", "/problems", "/problems/busy", "/openapi.json", "/page?limit=3", "/page?limit=x"]
    {
        let ask = async |method: Method| {
            let mut request = get_of(path);
            request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
            request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
            *request.method_mut() = method;
            let response = send(request).await;
            (response.status(), response.headers().clone(), text(response).await)
        };
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!((get.0, &get.1), (head.0, &head.1), "{path}");
        assert_eq!(head.2, "", "{path}");
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn every_page_answers_options_with_what_it_takes() {
    for path in ["/", "/problems", "/problems/busy", "/openapi.json", "/swagger-ui/"] {
        let response = send(options(path, &[])).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD", "{path}");
        let (headers, _) = problem_of(post_of(path, &[], ""), problem::METHOD_NOT_ALLOWED).await;
        assert_eq!(headers[header::ALLOW], "GET,HEAD", "{path}");
    }
}

#[tokio::test]
async fn no_refusal_names_a_type_of_the_program() {
    let key = [JSON, ("idempotency-key", "k")];
    for (request, kind, told) in [
        (get_of("/orders/17"), problem::MALFORMED_REQUEST, "id: has to be a UUID, such as"),
        (
            get_of("/orders/%ff"),
            problem::MALFORMED_REQUEST,
            "a part of the path is not valid UTF-8",
        ),
        (get_of("/page"), problem::MALFORMED_REQUEST, "limit: is missing"),
        (
            get_of("/page?limit=x"),
            problem::MALFORMED_REQUEST,
            "limit: has to be a whole number, but is 'x'",
        ),
        (
            post_of("/keyed", &key, "[]"),
            problem::INVALID_BODY,
            "has to be an object, but is a list",
        ),
        (post_of("/orders", &[JSON], "{}"), problem::INVALID_BODY, "/lines: is missing"),
        (
            post_of("/orders", &[JSON], "{\"lines\":[{}]}"),
            problem::INVALID_BODY,
            "/lines/0/quantity: is missing",
        ),
        (
            post_of("/orders", &[JSON], "{\"lines\":[],\"lines\":[]}"),
            problem::INVALID_BODY,
            "has one name more than once",
        ),
        (
            post_of("/orders", &[JSON], "{\"lines\":["),
            problem::MALFORMED_JSON,
            "the body ends before its JSON is complete, at line 1, column 10",
        ),
        (
            post_of("/orders", &[JSON], "{\"lines\":x"),
            problem::MALFORMED_JSON,
            "there is no JSON value where one has to be, at line 1",
        ),
        (
            post_of("/orders", &[JSON], "{\"lines\":[]} 1"),
            problem::MALFORMED_JSON,
            "something follows the JSON value, at line 1",
        ),
        (
            post_of("/orders", &[JSON], &"x".repeat(2_000)),
            problem::BODY_TOO_LARGE,
            "a body may have 1000 bytes",
        ),
        (
            post_of("/orders", &[], "{}"),
            problem::UNSUPPORTED_MEDIA_TYPE,
            "there is no content type: send",
        ),
    ] {
        let about = format!("{} {}", request.method(), request.uri());
        let (_, body) = problem_of(request, kind).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with(told), "{about}: {detail}");
    }
}
