//! Problem details, the one form of refusal: RFC 9457, `application/problem+json`.
//!
//! Each kind of problem is a constant [`ProblemType`] with a stable code; its `type` is the page
//! `/problems/<code>` that the service itself serves.
//!
//! **Architecture invariant:** a status is chosen here, where a [`ProblemType`] is defined, and
//! nowhere else. Each occurrence says what is wrong with its request and what to do next: there is
//! no way to make one without a detail or [parts](Problem::with_error) that say it.

use std::{error::Error as StdError, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use uuid::Uuid;

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
    /// What an occurrence says, for the description of the API.
    pub example: &'static ProblemExample,
}

/// What an occurrence of a problem says, for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemExample {
    /// The detail of an occurrence.
    Detail(&'static str),
    /// What is wrong with one part of the body.
    Part {
        /// Where, as a JSON pointer.
        pointer: &'static str,
        /// What is wrong, for programs.
        code: &'static str,
        /// What is wrong, for people.
        detail: &'static str,
    },
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $title:literal $example:expr;)*) => {
        $($(#[$doc])* pub const $name: ProblemType = ProblemType {
            code: $code, title: $title, status: StatusCode::$status, example: &$example,
        };)*
        /// The kinds that every service has.
        pub const ALL: &[ProblemType] = &[$($name),*];
    };
}

// What each occurrence of these kinds says.

const NO_KEY: &str = "send the header Idempotency-Key: a new name for each new request, for example \
                      a UUID, and the same name whenever the request is repeated";
pub(super) const OTHER_REQUEST: &str = "another method, path or body was sent with this key within the last 24 hours: send a new key \
     for a new request, or the same body to repeat the earlier one";
pub(super) const IN_USE: &str = "another request or message changes the same thing, or one with the same Idempotency-Key is \
     still being processed: repeat the request after the time in Retry-After, with the same key if it has one";
const FULL: &str = "nothing was done, because too many requests wait to be processed: repeat the \
                    request after the time in Retry-After, with the same Idempotency-Key if it has one";
const BACKLOG: &str = "nothing was done, because too much accepted work waits to be published: repeat the request \
     after the time in Retry-After, with the same Idempotency-Key if it has one";
const OUT_OF_REACH: &str = "something that the service needs does not answer: repeat the request after the time in \
     Retry-After, with the same Idempotency-Key if it has one";
const LEAVING: &str = "nothing was done, because this instance is about to stop: repeat the request after the time \
     in Retry-After, with the same Idempotency-Key if it has one, and another instance takes it";
const OURS: &str = "the cause is in the log of the service, under this trace_id: repeat the request with the same \
     Idempotency-Key if it has one, and report the trace_id if it fails again";

problem_types! {
    /// The request cannot be read at all.
    MALFORMED_REQUEST = BAD_REQUEST "malformed-request" "The request cannot be read"
        ProblemExample::Detail("limit: 0 is not between 1 and 200");
    /// The body is not JSON.
    MALFORMED_JSON = BAD_REQUEST "malformed-json" "The body is not JSON"
        ProblemExample::Detail("the body ends before its JSON is complete, at line 3, column 14");
    /// The body says to be something else than JSON.
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type"
        "The body has to be application/json"
        ProblemExample::Detail("the content type is text/plain: send Content-Type: application/json");
    /// The body is JSON, but not what is wanted here.
    INVALID_BODY = UNPROCESSABLE_ENTITY "invalid-body" "The request body is invalid"
        ProblemExample::Part { pointer: "/name", code: "mismatch", detail: "has to be a text, but is 7" };
    /// The body is too large.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large"
        ProblemExample::Detail("a body may have 262144 bytes: send less at once");
    /// There is nothing under this path.
    NOT_FOUND = NOT_FOUND "not-found" "There is nothing under this path"
        ProblemExample::Detail("no route matches GET /nowhere: GET / lists what there is");
    /// What is under this path knows other methods.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not known here"
        ProblemExample::Detail("/livez does not take DELETE: the header Allow lists what it takes");
    /// The Idempotency-Key is needed and not there.
    IDEMPOTENCY_KEY_MISSING = BAD_REQUEST "idempotency-key-missing" "An Idempotency-Key is needed"
        ProblemExample::Detail(NO_KEY);
    /// The Idempotency-Key cannot be read.
    IDEMPOTENCY_KEY_MALFORMED = BAD_REQUEST "idempotency-key-malformed"
        "The Idempotency-Key cannot be read"
        ProblemExample::Detail("the header Idempotency-Key is not 1 to 255 visible ASCII characters: send a UUID, for example");
    /// The Idempotency-Key was used for another request.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY "idempotency-key-reused"
        "The Idempotency-Key was used for another request"
        ProblemExample::Detail(OTHER_REQUEST);
    /// The same thing is being worked on at this moment.
    BUSY = CONFLICT "busy" "The same thing is being worked on at this moment"
        ProblemExample::Detail(IN_USE);
    /// The caller asks more often than one caller may.
    RATE_LIMITED = TOO_MANY_REQUESTS "rate-limited" "Rate limit exceeded"
        ProblemExample::Detail("nothing was done: one address may send 50 requests a second; repeat the request after the time in Retry-After");
    /// To try it again would do harm.
    NOT_REDRIVABLE = CONFLICT "not-redrivable" "It may not be tried again"
        ProblemExample::Detail("its failure was published and acted upon: discard the letter");
    /// A dead letter whose outcome is still waited for.
    NOT_DISCARDABLE = CONFLICT "not-discardable" "It may not be discarded"
        ProblemExample::Detail("its outcome is still waited for: fix the cause and redrive the letter");
    /// Too much waits already.
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded" "Service overloaded"
        ProblemExample::Detail(FULL);
    /// Something that the service needs is out of reach.
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable" "The service cannot answer now"
        ProblemExample::Detail(OUT_OF_REACH);
    /// The service is stopping.
    STOPPING = SERVICE_UNAVAILABLE "stopping" "The service is stopping"
        ProblemExample::Detail(LEAVING);
    /// No answer was found in time.
    TIMEOUT = SERVICE_UNAVAILABLE "timeout" "No answer was found in time"
        ProblemExample::Detail("the answer took more than 10 s, and whether the request was processed is unknown: repeat it with the same Idempotency-Key if it has one, and it takes effect once");
    /// A fault of the service; its details are in the log only.
    INTERNAL = INTERNAL_SERVER_ERROR "internal" "Something went wrong on our side"
        ProblemExample::Detail(OURS);
}

impl ProblemType {
    /// An occurrence of it: what is wrong with the request, and what to do next.
    pub fn detail(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.in_parts() }
    }

    /// An occurrence of it whose [parts](Problem::with_error) say what is wrong.
    pub fn in_parts(self) -> Problem {
        Problem { kind: self, detail: None, errors: vec![], retry_after: None }
    }

    /// An occurrence of it as the description of the API shows it.
    pub(super) fn example(self) -> ProblemDocument {
        let problem = match *self.example {
            ProblemExample::Detail(detail) => self.detail(detail),
            ProblemExample::Part { pointer, code, detail } => {
                self.in_parts().with_error(pointer, code, detail)
            }
        };
        let id = "01a20fcc-a92c-76ef-87b5-a07309aa9900";
        ProblemDocument {
            instance: Some(format!("urn:uuid:{id}")),
            request_id: Some(id.to_owned()),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
            ..problem.document(None)
        }
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
    /// What is wrong with this request, and what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// This occurrence: the request's id as a URN (RFC 9562). Left out where the caller gave the
    /// request an id that is no UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:uuid:01a20fcc-a92c-76ef-87b5-a07309aa9900")]
    instance: Option<String>,
    /// The request's id, as it is in the header `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
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
        Self::ours()
    }

    /// Our fault, of which the log knows already.
    pub(super) fn ours() -> Self {
        INTERNAL.detail(OURS)
    }

    /// Something we need is out of reach: logged like [`Problem::internal`], but worth another try.
    pub fn unavailable(error: &(dyn StdError + 'static)) -> Self {
        tracing::warn!(error = fault::chain(error), "a request cannot be answered now");
        UNAVAILABLE.detail(OUT_OF_REACH).retry_after(Duration::from_secs(1))
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
            detail: self.detail.clone().or_else(|| self.summary()),
            instance: context
                .and_then(|request_context| Uuid::parse_str(&request_context.request_id).ok())
                .map(|id| id.urn().to_string()),
            request_id: context.map(|request_context| request_context.request_id.clone()),
            trace_id: context.map(|request_context| request_context.trace.trace_id()),
            errors: self.errors.clone(),
        }
    }

    /// What is wrong with which parts, as one text.
    fn summary(&self) -> Option<String> {
        let wrong: Vec<String> = self
            .errors
            .iter()
            .map(|error| match error.pointer.as_str() {
                "" => error.detail.clone(),
                pointer => format!("{pointer}: {}", error.detail),
            })
            .collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
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
            SubmitError::Full => OVERLOADED.detail(FULL).retry_after(soon),
            SubmitError::Overloaded { retry_after } => {
                OVERLOADED.detail(BACKLOG).retry_after(retry_after)
            }
            SubmitError::Unavailable => UNAVAILABLE.detail(OUT_OF_REACH).retry_after(soon),
            SubmitError::Busy => BUSY.detail(IN_USE).retry_after(soon),
            SubmitError::Failed => Self::ours(),
            SubmitError::Stopping => STOPPING.detail(LEAVING).retry_after(soon),
        }
    }
}

impl From<idempotency::BadKey> for Problem {
    fn from(bad: idempotency::BadKey) -> Self {
        match bad {
            idempotency::BadKey::Missing => IDEMPOTENCY_KEY_MISSING.detail(NO_KEY),
            idempotency::BadKey::Repeated | idempotency::BadKey::Malformed => {
                IDEMPOTENCY_KEY_MALFORMED.detail(format!("{bad}: send a UUID, for example"))
            }
        }
    }
}

impl From<idempotency::BadClient> for Problem {
    fn from(bad: idempotency::BadClient) -> Self {
        MALFORMED_REQUEST.detail(format!("{bad}: correct it or leave it out"))
    }
}
