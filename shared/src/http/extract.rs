//! Extractors for requests: like axum's, but every refusal is a [`Problem`].

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, MatchedPath, OptionalFromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;
use serde_path_to_error::{Path as Place, Segment};

use super::{Problem, problem, strict_json::StrictJson};
use crate::{
    idempotency::{ClientId, IdempotencyKey, RequestFingerprint, RequestKey, ScopedKey},
    visible_text,
};

/// A body in JSON, in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonBody<T>(pub T);

/// The parts of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathParams<T>(pub T);

/// The parts of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryParams<T>(pub T);

/// A body in JSON under an `Idempotency-Key`. The key is bound to the decoded body: to the
/// content of `T`, not to the caller's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentBody<T> {
    /// The caller's key, bound to this request.
    pub key: RequestKey,
    /// The request's body, decoded and checked.
    pub body: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = json_bytes(request, state).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let place = pointer(error.path());
            let error = error.into_inner();
            match error.classify() {
                Category::Data => mismatch(place, &error),
                Category::Io | Category::Syntax | Category::Eof => {
                    problem::MALFORMED_JSON.detail(error.to_string())
                }
            }
        })?;
        reader.end().map_err(|error| problem::MALFORMED_JSON.detail(error.to_string()))?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned + Serialize, S: Send + Sync> FromRequest<S> for IdempotentBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = IdempotencyKey::from_headers(request.headers())?;
        let client = ClientId::from_headers(request.headers())?;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let route = request.extensions().get::<MatchedPath>().map_or(&*path, MatchedPath::as_str);
        let key = ScopedKey { scope: client.scope(&format!("{method} {route}")), key };
        let JsonBody(StrictJson(spelling)) = JsonBody::from_request(request, state).await?;
        let body: T = serde_path_to_error::deserialize(&spelling)
            .map_err(|error| mismatch(pointer(error.path()), error.inner()))?;
        let understood = serde_json::to_value(&body).map_err(|error| Problem::internal(&error))?;
        let fingerprint =
            RequestFingerprint::of_spelled(method.as_str(), &path, &understood, &spelling);
        Ok(Self { key: RequestKey { key, fingerprint }, body })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection| refused(rejection.status(), rejection.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(refused(rejection.status(), rejection.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::from_headers(&parts.headers)?)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        Ok(Self::optional_from_headers(&parts.headers)?)
    }
}

impl<T: Serialize> IntoResponse for JsonBody<T> {
    fn into_response(self) -> Response {
        match visible_text::json(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        let said = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let said = said.map_or_else(|| "none".into(), String::from_utf8_lossy);
        return Err(problem::UNSUPPORTED_MEDIA_TYPE.detail(format!("its content type is {said}")));
    }
    let read = Bytes::from_request(request, state).await;
    let bytes = read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => problem::BODY_TOO_LARGE.problem(),
        status => refused(status, rejection.body_text()),
    })?;
    utf8(bytes)
}

/// Skips a byte order mark, which a reader of JSON may ignore (RFC 8259, 8.1). Other encodings of
/// Unicode are detected by their own marks, or by zeros, with which no JSON in UTF-8 begins.
fn utf8(mut bytes: Bytes) -> Result<Bytes, Problem> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Ok(bytes.split_off(3));
    }
    let marked = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if marked || bytes.iter().take(4).filter(|byte| **byte == 0).count() >= 2 {
        let detail = "it is in UTF-16 or UTF-32; JSON is sent in UTF-8 (RFC 8259, 8.1)";
        return Err(problem::MALFORMED_JSON.detail(detail));
    }
    Ok(bytes)
}

/// `application/json`, or something that is JSON underneath (`application/…+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(|media_type| media_type.trim().to_ascii_lowercase());
    essence.is_some_and(|text| {
        text.strip_prefix("application/")
            .is_some_and(|text| text == "json" || text.ends_with("+json"))
    })
}

fn refused(status: StatusCode, detail: String) -> Problem {
    if status.is_server_error() {
        // A handler that asks for parts which its route does not have: a server fault.
        tracing::error!(detail, "a request cannot be read by its handler");
        return problem::INTERNAL.problem();
    }
    problem::MALFORMED_REQUEST.detail(detail)
}

fn mismatch(pointer: String, error: &serde_json::Error) -> Problem {
    // Line and column speak of the text, the pointer of the value; the latter is enough.
    let text = error.to_string();
    let detail = text.split(" at line ").next().unwrap_or_default();
    problem::INVALID_BODY.problem().with_error(pointer, "mismatch", detail)
}

/// A place in a body as a JSON pointer (RFC 6901).
fn pointer(place: &Place) -> String {
    let mut pointer = String::new();
    for segment in place {
        match segment {
            Segment::Seq { index } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => (),
        }
    }
    pointer
}
