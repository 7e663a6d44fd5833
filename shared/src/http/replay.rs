//! The HTTP response of an answer that is stored under an `Idempotency-Key`.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{Problem, problem};
use crate::idempotency::{HttpAnswer, IdempotentAnswer};

/// Says `true` on an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The response to a request with a key; `refuse` says why it was refused.
pub fn respond<E>(
    answered: IdempotentAnswer<E>,
    refuse: impl FnOnce(E) -> Problem,
) -> Result<Response, Problem> {
    match answered {
        IdempotentAnswer::Accepted { answer, replayed } => Ok(response(&answer, replayed)),
        IdempotentAnswer::Refused(reason) => Err(refuse(reason)),
        IdempotentAnswer::KeyReused => {
            Err(problem::IDEMPOTENCY_KEY_REUSED.detail(problem::OTHER_REQUEST))
        }
    }
}

/// The first response as it was decided; later the same response, marked as replayed.
fn response(answer: &HttpAnswer, replayed: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let content_type = if status.is_success() || status.is_redirection() {
        "application/json"
    } else {
        "application/problem+json"
    };
    let mut response =
        (status, [(header::CONTENT_TYPE, content_type)], answer.body.clone()).into_response();
    let headers = response.headers_mut();
    if let Some(location) = answer.location.as_deref().and_then(|text| text.parse().ok()) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
