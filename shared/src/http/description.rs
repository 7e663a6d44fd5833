//! What every API of this system has in common, described once: the version, the refusals that any
//! operation can give, and for each refusal an example of each kind of problem that it can be.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response,
    ResponseBuilder,
    example::ExampleBuilder,
    path::{Operation, ParameterIn, PathItem},
    schema::Type,
};

use super::problem::{self, ProblemType};

/// The problems that only this service has, by the operation (its function's name) that answers
/// them.
pub type OwnProblems = [(&'static str, &'static [ProblemType])];

/// The media type of a refusal.
const PROBLEM: &str = "application/problem+json";

/// Refusals that an operation need not describe itself, and whether they say when to ask again.
const GENERAL: [(&str, &str, bool); 6] = [
    ("400", "The request cannot be read.", false),
    ("413", "The body is too large.", false),
    ("415", "The body has to be application/json.", false),
    ("429", "You ask too often: ask again after `Retry-After`.", true),
    ("503", "Not now: ask again after `Retry-After`.", true),
    ("default", "Any other refusal.", false),
];

/// Completes the description of an API: the version of the workspace, the refusals that any request
/// can meet, and examples of refusals.
pub fn describe(mut api: OpenApi, own: &OwnProblems) -> OpenApi {
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    for path in api.paths.paths.values_mut() {
        for (method, operation) in operations_mut(path) {
            let kinds = kinds(method, operation, own);
            for (status, description, says_when) in GENERAL {
                let is_answered = kinds.iter().any(|kind| kind.status.as_str() == status);
                if is_answered || status == "default" {
                    add(operation, status, description, says_when);
                }
            }
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                if let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM) {
                    content.examples = examples(status, &kinds);
                }
            }
        }
    }
    api
}

/// The operations at a path, with their methods.
pub(super) fn operations(path: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let PathItem { get, put, post, patch, delete, .. } = path;
    let all = [("GET", get), ("PUT", put), ("POST", post), ("PATCH", patch), ("DELETE", delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn operations_mut(path: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, patch, delete, .. } = path;
    let all = [("GET", get), ("PUT", put), ("POST", post), ("PATCH", patch), ("DELETE", delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The kinds of problems that an operation can answer. Its own replace the general ones that say
/// less.
fn kinds(method: &str, operation: &Operation, own: &OwnProblems) -> Vec<ProblemType> {
    use super::problem::{
        BODY_TOO_LARGE, BUSY, IDEMPOTENCY_KEY_MALFORMED, IDEMPOTENCY_KEY_MISSING,
        IDEMPOTENCY_KEY_REUSED, INTERNAL, INVALID_BODY, MALFORMED_JSON, MALFORMED_REQUEST,
        NOT_FOUND, OVERLOADED, RATE_LIMITED, STOPPING, TIMEOUT, UNAVAILABLE,
        UNSUPPORTED_MEDIA_TYPE,
    };
    let name = operation.operation_id.as_deref().unwrap_or_default();
    let own = own.iter().find(|(operation, _)| *operation == name);
    let own = own.map(|(_, kinds)| *kinds).unwrap_or_default();
    let has = |place: ParameterIn, name: &str| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| match parameter {
            RefOr::T(known) => known.parameter_in == place && known.name.contains(name),
            RefOr::Ref(_) => false,
        })
    };
    let changes = method != "GET";
    let has_body = operation.request_body.is_some();
    let has_key = has(ParameterIn::Header, "Idempotency-Key");
    let is_named = own.iter().any(|kind| kind.status == NOT_FOUND.status);
    let general = [
        (has_body, &[MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE, BODY_TOO_LARGE, INVALID_BODY][..]),
        (has_key, &[IDEMPOTENCY_KEY_MISSING, IDEMPOTENCY_KEY_MALFORMED, IDEMPOTENCY_KEY_REUSED]),
        (has(ParameterIn::Path, "") || has(ParameterIn::Query, ""), &[MALFORMED_REQUEST]),
        (!is_named, &[NOT_FOUND]),
        (changes, &[BUSY, OVERLOADED, STOPPING]),
        (true, &[RATE_LIMITED, UNAVAILABLE, TIMEOUT, INTERNAL]),
    ];
    let general = general.into_iter().filter(|(is_given, _)| *is_given);
    let general = general.flat_map(|(_, kinds)| kinds).copied();
    own.iter().copied().chain(general).collect()
}

/// An example of each kind with this status; of any other refusal, a fault of the service.
fn examples(
    status: &str,
    kinds: &[ProblemType],
) -> BTreeMap<String, RefOr<utoipa::openapi::example::Example>> {
    let answers = |kind: &&ProblemType| match status {
        "default" => **kind == problem::INTERNAL,
        status => kind.status.as_str() == status,
    };
    let example = |kind: &ProblemType| {
        let value = serde_json::to_value(kind.example()).unwrap_or(Value::Null);
        let example = ExampleBuilder::new().summary(kind.title).value(Some(value)).build();
        (kind.code.to_owned(), RefOr::T(example))
    };
    kinds.iter().filter(answers).map(example).collect()
}

fn add(operation: &mut Operation, status: &str, description: &str, says_when: bool) {
    let responses = &mut operation.responses.responses;
    let response = || RefOr::T(refusal(description, says_when));
    responses.entry(status.to_owned()).or_insert_with(response);
}

fn refusal(description: &str, says_when: bool) -> Response {
    let response = ResponseBuilder::new().description(description).content(PROBLEM, content());
    if !says_when {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("In seconds."));
    response.header("Retry-After", header.build()).build()
}

fn content() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build()
}
