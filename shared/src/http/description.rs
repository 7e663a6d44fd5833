//! The answers that every operation of an API can give, described once.

use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response,
    ResponseBuilder, path::Operation, schema::Type,
};

/// Adds to each operation the refusals that any request can meet: too many, and everything that it
/// does not name itself.
pub fn describe(mut api: OpenApi) -> OpenApi {
    for path in api.paths.paths.values_mut() {
        let operations =
            [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            add(operation, "429", "You ask too often: ask again after `Retry-After`.", true);
            add(operation, "default", "Any other refusal.", false);
        }
    }
    api
}

fn add(operation: &mut Operation, status: &str, description: &str, says_when: bool) {
    let responses = &mut operation.responses.responses;
    let response = || RefOr::T(refusal(description, says_when));
    responses.entry(status.to_owned()).or_insert_with(response);
}

fn refusal(description: &str, says_when: bool) -> Response {
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", problem());
    if !says_when {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("In seconds."));
    response.header("Retry-After", header.build()).build()
}

fn problem() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build()
}
