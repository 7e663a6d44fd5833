//! Problem details, the one form of refusal: RFC 9457, `application/problem+json`.
//!
//! Each kind of problem is a constant [`ProblemType`] with a stable code; its `type` is the page
//! `/problems/<code>` that the service itself serves.
//!
//! **Architecture invariant:** a status is chosen here, where a [`ProblemType`] is defined, and
//! nowhere else.

use std::{error::Error as StdError, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::request_context::RequestContext;
use crate::{batcher::SubmitError, fault, idempotency, visible_text};

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// Its stable name; also that of its page.
    pub code: &'static str,
    /// What it is, in a few words; the same for every occurrence.
    pub title: &'static str,
    /// The HTTP status of the answer.
    pub status: StatusCode,
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $title:literal;)*) => {
        $($(#[$doc])* pub const $name: ProblemType =
            ProblemType { code: $code, title: $title, status: StatusCode::$status };)*
        /// The kinds that every service has.
        pub const ALL: &[ProblemType] = &[$($name),*];
    };
}

problem_types! {
    /// The request cannot be read at all.
    MALFORMED_REQUEST = BAD_REQUEST "malformed-request" "The request cannot be read";
    /// The body is not JSON.
    MALFORMED_JSON = BAD_REQUEST "malformed-json" "The body is not JSON";
    /// The body says to be something else than JSON.
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type"
        "The body has to be application/json";
    /// The body is JSON, but not what is wanted here.
    INVALID_BODY = UNPROCESSABLE_ENTITY "invalid-body" "The request body is invalid";
    /// The body is too large.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
    /// There is nothing under this path.
    NOT_FOUND = NOT_FOUND "not-found" "There is nothing under this path";
    /// What is under this path knows other methods.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not known here";
    /// The Idempotency-Key is needed and not there.
    IDEMPOTENCY_KEY_MISSING = BAD_REQUEST "idempotency-key-missing" "An Idempotency-Key is needed";
    /// The Idempotency-Key cannot be read.
    IDEMPOTENCY_KEY_MALFORMED = BAD_REQUEST "idempotency-key-malformed"
        "The Idempotency-Key cannot be read";
    /// The Idempotency-Key was used for another request.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY "idempotency-key-reused"
        "The Idempotency-Key was used for another request";
    /// The same thing is being worked on at this moment.
    BUSY = CONFLICT "busy" "The same thing is being worked on at this moment";
    /// The caller asks more often than one caller may.
    RATE_LIMITED = TOO_MANY_REQUESTS "rate-limited" "Rate limit exceeded";
    /// To try it again would do harm.
    NOT_REDRIVABLE = CONFLICT "not-redrivable" "It may not be tried again";
    /// A dead letter whose outcome is still waited for.
    NOT_DISCARDABLE = CONFLICT "not-discardable" "It may not be discarded";
    /// Too much waits already.
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded" "Service overloaded";
    /// Something that the service needs is out of reach.
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable" "The service cannot answer now";
    /// The service is stopping.
    STOPPING = SERVICE_UNAVAILABLE "stopping" "The service is stopping";
    /// No answer was found in time.
    TIMEOUT = SERVICE_UNAVAILABLE "timeout" "No answer was found in time";
    /// A fault of the service; its details are in the log only.
    INTERNAL = INTERNAL_SERVER_ERROR "internal" "Something went wrong on our side";
}

impl ProblemType {
    /// An occurrence of it.
    pub fn problem(self) -> Problem {
        Problem { kind: self, detail: None, errors: vec![], retry_after: None }
    }

    /// An occurrence of it, with what is particular about it.
    pub fn detail(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.problem() }
    }
}

/// An occurrence of a problem: what a handler answers in place of a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemType,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// What is wrong with one part of the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where in the body, as a JSON pointer (RFC 6901); empty for the whole.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// What is wrong, for people.
    pub detail: String,
    /// What is wrong, for programs.
    #[schema(example = "out-of-range")]
    pub code: &'static str,
}

/// A problem as it is sent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// The page that explains this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-body")]
    kind: String,
    /// The kind of problem, for people.
    title: &'static str,
    /// The HTTP status again.
    #[schema(example = 422)]
    status: u16,
    /// The kind of problem, for programs.
    #[schema(example = "invalid-body")]
    code: &'static str,
    /// What is particular about this occurrence.
    detail: String,
    /// This occurrence: the id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The trace under which logs speak of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// What is wrong with which part of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// Our fault: the cause is logged here, in whole and once, and the caller is told nothing of it.
    pub fn internal(error: &(dyn StdError + 'static)) -> Self {
        tracing::error!(error = fault::chain(error), "a request failed");
        INTERNAL.problem()
    }

    /// Something we need is out of reach: logged like [`Problem::internal`], but worth another try.
    pub fn unavailable(error: &(dyn StdError + 'static)) -> Self {
        tracing::warn!(error = fault::chain(error), "a request cannot be answered now");
        UNAVAILABLE.problem().retry_after(Duration::from_secs(1))
    }

    /// The problem type that this answer names.
    pub fn kind(&self) -> ProblemType {
        self.kind
    }

    /// Adds what is wrong with one part of the body.
    #[must_use]
    pub fn with_error(
        mut self,
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.into(), code });
        self
    }

    /// Says when to ask again, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// As it is sent, with the ids of the request that it answers.
    pub(super) fn document(&self, context: Option<&RequestContext>) -> ProblemDocument {
        ProblemDocument {
            kind: format!("/problems/{}", self.kind.code),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            code: self.kind.code,
            detail: self.detail.clone().unwrap_or_else(|| self.summary()),
            instance: context.map(|request_context| request_context.request_id.clone()),
            trace_id: context.map(|request_context| request_context.trace.trace_id()),
            errors: self.errors.clone(),
        }
    }

    /// What can be said of an occurrence that says nothing particular: what is wrong where, or only
    /// its kind again.
    fn summary(&self) -> String {
        let wrong: Vec<String> = self
            .errors
            .iter()
            .map(|error| match error.pointer.as_str() {
                "" => error.detail.clone(),
                pointer => format!("{pointer}: {}", error.detail),
            })
            .collect();
        if wrong.is_empty() { self.kind.title.to_owned() } else { wrong.join("; ") }
    }

    /// The complete answer, as problem+json.
    pub(super) fn response(self, context: Option<&RequestContext>) -> Response {
        let document = visible_text::json(&self.document(context)).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response =
            (self.kind.status, [(header::CONTENT_TYPE, content_type)], document).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // The context middleware finds it there and adds the request's ids.
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

impl From<SubmitError> for Problem {
    /// Does not log: the batcher has logged the failure already.
    fn from(refused: SubmitError) -> Self {
        let soon = Duration::from_secs(1);
        match refused {
            SubmitError::Full => OVERLOADED.problem().retry_after(soon),
            SubmitError::Overloaded { retry_after } => {
                OVERLOADED.problem().retry_after(retry_after)
            }
            SubmitError::Unavailable => UNAVAILABLE.problem().retry_after(soon),
            SubmitError::Busy => BUSY.problem().retry_after(soon),
            SubmitError::Failed => INTERNAL.problem(),
            SubmitError::Stopping => STOPPING.problem().retry_after(soon),
        }
    }
}

impl From<idempotency::BadKey> for Problem {
    fn from(bad: idempotency::BadKey) -> Self {
        match bad {
            idempotency::BadKey::Missing => IDEMPOTENCY_KEY_MISSING.problem(),
            idempotency::BadKey::Repeated | idempotency::BadKey::Malformed => {
                IDEMPOTENCY_KEY_MALFORMED.detail(bad.to_string())
            }
        }
    }
}

impl From<idempotency::BadClient> for Problem {
    fn from(bad: idempotency::BadClient) -> Self {
        MALFORMED_REQUEST.detail(bad.to_string())
    }
}
