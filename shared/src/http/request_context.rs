//! The ids of a request: the caller's, or new ones.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{header::HeaderName, request::Parts},
};

use crate::{
    clock::Clock,
    message::TraceParent,
    telemetry::spans::{Kind, OpenSpan},
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The ids of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// Names the request: the caller's word for it (`x-request-id`), or ours.
    pub request_id: String,
    /// The trace that it belongs to: the caller's (`traceparent`), or a new one.
    pub trace: TraceParent,
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
        let work = OpenSpan::begin(Kind::Server, caller, || format!("{method} {route}").into());
        let request_id =
            request_id.map_or_else(|| Clock::System.new_id().to_string(), ToOwned::to_owned);
        (Self { request_id, trace: work.trace() }, work)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self {
            request_id: Clock::System.new_id().to_string(),
            trace: TraceParent::start(),
        }))
    }
}
