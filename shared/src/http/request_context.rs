//! The ids of a request: the caller's, or new ones.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, header::HeaderName, request::Parts},
};

use crate::{
    clock::Clock,
    message::{TraceContext, TraceParent, TraceState},
    telemetry::spans::{Kind, OpenSpan},
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The ids of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// Names the request: the caller's word for it (`x-request-id`), or ours.
    pub request_id: String,
    /// The trace that it belongs to: the caller's (`traceparent`, `tracestate`), or a new one.
    pub trace: TraceContext,
}

impl RequestContext {
    /// Its ids, and its span, which begins.
    pub(super) fn of(request: &Request, method: &str, route: &str) -> (Self, OpenSpan) {
        let only = |name: &str| {
            let mut values = request.headers().get_all(name).iter();
            // A header that occurs twice is ignored.
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let request_id = only(REQUEST_ID.as_str()).filter(|text| {
            (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        });
        let caller = only("traceparent").and_then(TraceParent::parse);
        let state = caller.and_then(|_parent| trace_state(request.headers()));
        let work = OpenSpan::begin(Kind::Server, caller, || format!("{method} {route}").into());
        let request_id =
            request_id.map_or_else(|| Clock::System.new_id().to_string(), ToOwned::to_owned);
        (Self { request_id, trace: TraceContext { parent: work.trace(), state } }, work)
    }
}

/// A list may come as several headers, which are one list in their order.
fn trace_state(headers: &HeaderMap) -> Option<TraceState> {
    let lists = headers.get_all("tracestate").iter();
    let lists: Vec<&str> = lists.map(|list| list.to_str().ok()).collect::<Option<_>>()?;
    TraceState::parse(&lists.join(","))
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self {
            request_id: Clock::System.new_id().to_string(),
            trace: TraceContext::start(),
        }))
    }
}
