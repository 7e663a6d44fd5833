//! An answer that is kept under an `Idempotency-Key`, as it is sent.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::idempotency::Stored;

/// Says `true` on an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The answer: the first time as it was decided, later the same again and marked so.
pub fn stored(answer: &Stored, replayed: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let content_type = if status.is_success() || status.is_redirection() {
        "application/json"
    } else {
        "application/problem+json"
    };
    let mut response =
        (status, [(header::CONTENT_TYPE, content_type)], answer.body.clone()).into_response();
    let headers = response.headers_mut();
    if let Some(location) = answer.location.as_deref().and_then(|it| it.parse().ok()) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
