//! Extractors for requests: like axum's, but every refusal is a [`Problem`].

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, MatchedPath, OptionalFromRequestParts, RawPathParams,
        Request,
    },
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, error::Category};
use serde_path_to_error::{Path as Place, Segment};

use super::{
    Problem,
    input_fault::InputFault,
    input_value::InputValue,
    problem,
    strict_json::{self, StrictJson},
};
use crate::{
    idempotency::{ClientId, IdempotencyKey, RequestFingerprint, RequestKey, ScopedKey},
    visible_text,
};

const NO_UTF8: &str =
    "a part of the path is not valid UTF-8: encode its bytes in UTF-8 and then as %XX";

/// What a body may weigh; the server adds it to the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimit(pub(super) usize);

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
        Ok(Self(understood(json(request, state).await?)?))
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
        let spelling = json(request, state).await?;
        let body: T = understood(spelling.clone())?;
        let understood = serde_json::to_value(&body).map_err(|error| Problem::internal(&error))?;
        let fingerprint =
            RequestFingerprint::of_spelled(method.as_str(), &path, &understood, &spelling);
        Ok(Self { key: RequestKey { key, fingerprint }, body })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(|rejection| match rejection.status() {
            StatusCode::BAD_REQUEST => problem::MALFORMED_REQUEST.detail(NO_UTF8),
            status => refused(status, rejection.body_text()),
        })?;
        let mut params = path.iter();
        let (Some((name, text)), None) = (params.next(), params.next()) else {
            let detail = "a handler reads one part of its path, and the route has not one";
            return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, detail.to_owned()));
        };
        let read = T::deserialize(InputValue::Text(text.to_owned()));
        read.map(Self).map_err(|fault| unreadable(name, &fault))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state);
        let axum::extract::Query(query) =
            query.await.map_err(|rejection| refused(rejection.status(), rejection.body_text()))?;
        serde_path_to_error::deserialize(InputValue::Query(query)).map(Self).map_err(|error| {
            let place = error.path().to_string();
            let fault = error.into_inner();
            unreadable(fault.member.unwrap_or(&place), &fault)
        })
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

/// The JSON of a body.
async fn json<S: Send + Sync>(request: Request, state: &S) -> Result<Value, Problem> {
    let bytes = json_bytes(request, state).await?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let StrictJson(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            // The only thing that is asked of it: that no name is given twice.
            Category::Data => mismatch(place, strict_json::NAME_TWICE),
            Category::Io | Category::Syntax | Category::Eof => no_json(&error),
        }
    })?;
    reader.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

/// JSON as what is wanted here.
fn understood<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(InputValue::Json(json)).map_err(|error| {
        let mut place = pointer(error.path());
        let fault = error.into_inner();
        if let Some(member) = fault.member {
            place = format!("{place}/{member}");
        }
        mismatch(place, &fault.text)
    })
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        let said = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let said = said.map_or_else(
            || "there is no content type".to_owned(),
            |bytes| format!("the content type is {}", String::from_utf8_lossy(bytes)),
        );
        let detail = format!("{said}: send Content-Type: application/json");
        return Err(problem::UNSUPPORTED_MEDIA_TYPE.detail(detail));
    }
    let limit = request.extensions().get::<BodyLimit>().copied();
    let read = Bytes::from_request(request, state).await;
    let bytes = read.map_err(|rejection| match (rejection.status(), limit) {
        (StatusCode::PAYLOAD_TOO_LARGE, Some(BodyLimit(bytes_max))) => problem::BODY_TOO_LARGE
            .detail(format!("a body may have {bytes_max} bytes: send less at once")),
        (status, _) => refused(status, rejection.body_text()),
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
        return Problem::ours();
    }
    problem::MALFORMED_REQUEST.detail(detail)
}

/// A part of the path or the query that is not what is wanted there.
fn unreadable(name: &str, fault: &InputFault) -> Problem {
    problem::MALFORMED_REQUEST.detail(format!("{name}: {fault}"))
}

/// A part of the body that is not what is wanted there.
fn mismatch(pointer: String, text: &str) -> Problem {
    problem::INVALID_BODY.in_parts().with_error(pointer, "mismatch", text)
}

/// A text that is not JSON, in the words of who wrote it.
fn no_json(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let what = match what {
        _ if error.is_eof() => "the body ends before its JSON is complete",
        "expected value" => "there is no JSON value where one has to be",
        "trailing characters" => "something follows the JSON value",
        "recursion limit exceeded" => "lists and objects are nested too deeply",
        "invalid unicode code point" => "the text is not valid UTF-8",
        other => other,
    };
    let (line, column) = (error.line(), error.column());
    problem::MALFORMED_JSON.detail(format!("{what}, at line {line}, column {column}"))
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
