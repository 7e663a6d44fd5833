//! The documentation page of each problem `type`: `/problems/<code>`.

use axum::{
    Router,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::{PathParams, ProblemType, problem};

/// The page of one kind of problem.
#[derive(Clone, Copy, Debug)]
pub struct ProblemPage {
    /// The problem's stable code, which is also the name of the page's file.
    pub code: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// The pages of these codes, from the project's `docs/errors`, built into the program.
#[macro_export]
macro_rules! pages {
    ($($code:literal),* $(,)?) => {
        &[$($crate::http::ProblemPage {
            code: $code,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors/", $code, ".md")),
        }),*]
    };
}

/// The pages of the kinds that every service has.
const SHARED: &[ProblemPage] = crate::pages![
    "body-too-large",
    "busy",
    "idempotency-key-malformed",
    "idempotency-key-missing",
    "idempotency-key-reused",
    "internal",
    "invalid-body",
    "malformed-json",
    "malformed-request",
    "method-not-allowed",
    "not-discardable",
    "not-found",
    "not-redrivable",
    "overloaded",
    "rate-limited",
    "stopping",
    "timeout",
    "unavailable",
    "unsupported-media-type",
];

/// Whether each of these kinds has its page, headed by its title: for the tests of a service.
pub fn has_pages(kinds: &[ProblemType], own: &[ProblemPage]) -> Result<(), String> {
    for kind in kinds {
        let page = own.iter().chain(SHARED).find(|problem_page| problem_page.code == kind.code);
        let heading = page.and_then(|page| page.text.lines().next()).unwrap_or_default();
        if heading != format!("# {}", kind.title) {
            return Err(format!("docs/errors/{}.md is not headed `# {}`", kind.code, kind.title));
        }
    }
    Ok(())
}

/// Serves the pages of a service, and those that every service has.
pub fn problem_pages(own: &'static [ProblemPage]) -> Router {
    let page = move |PathParams(code): PathParams<String>| async move {
        own.iter()
            .chain(SHARED)
            .find(|page| page.code == code)
            .map(|page| markdown(page.text))
            .ok_or_else(|| problem::NOT_FOUND.problem())
    };
    Router::new().route("/problems/{code}", get(page))
}

fn markdown(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response()
}
