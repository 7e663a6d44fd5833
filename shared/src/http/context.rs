//! Request context: gives each request its ids and its span, and counts the request.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{
        HeaderValue, Method,
        header::{self, HeaderName},
    },
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

use super::{
    problem::Problem,
    request_context::{REQUEST_ID, RequestContext},
};
use crate::telemetry::spans::{KeyValue, OpenSpan};

/// Paths that machines request every few seconds: no part of any order's trace.
const OPERATORS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Gives the request its ids and span, its answer the same ids, and counts both.
pub(super) async fn context(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = method_name(request.method());
    let (context, work) = RequestContext::of(&request, method, &route);
    let span = tracing::info_span!(
        "request",
        method,
        route,
        request_id = context.request_id,
        trace_id = context.trace.trace_id(),
    );
    request.extensions_mut().insert(context.clone());
    async {
        let mut response = next.run(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response = with_ids(problem, &response, &context);
        }
        if let Ok(id) = HeaderValue::from_str(&context.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let status = response.status().as_u16();
        tracing::debug!(status, micros = began.elapsed().as_micros(), "answered");
        end(work, (method, &route, status), context.request_id);
        count(method, route, status, began);
        response
    }
    .instrument(span)
    .await
}

/// The problem again, now with the ids, and with the headers that were set around it.
fn with_ids(problem: Problem, plain: &Response, context: &RequestContext) -> Response {
    let mut response = problem.response(Some(context));
    response.extensions_mut().remove::<Problem>();
    let own: Vec<HeaderName> = response.headers().keys().cloned().collect();
    for (name, value) in plain.headers() {
        if *name != header::CONTENT_LENGTH && !own.contains(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// Methods are a closed set, so that a caller cannot create new metric labels.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The request's span ends.
fn end(mut work: OpenSpan, (method, route, status): (&'static str, &str, u16), request_id: String) {
    if OPERATORS.contains(&route) {
        return work.forget();
    }
    work.note(|| {
        [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
            KeyValue::new("http.request.id", request_id),
        ]
    });
    work.end_with((status >= 500).then(|| format!("answered {status}")));
}

fn count(method: &'static str, route: String, status: u16, began: Instant) {
    let labels = [
        ("method", metrics::SharedString::const_str(method)),
        ("route", metrics::SharedString::from_owned(route)),
        ("status", metrics::SharedString::from_owned(status.to_string())),
    ];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels).record(began.elapsed());
}
