//! The documentation page of each problem `type`, `/problems/<code>`, and their list, `/problems`:
//! HTML for browsers, Markdown for everybody else.

use std::fmt::Write as _;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::{
    PathParams, ProblemType,
    html::{VARIES, html_page, prefers_html},
    problem,
};

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

/// Serves the pages of a service, and those that every service has; `/problems` lists them.
pub(super) fn problem_pages(own: &'static [ProblemPage]) -> Router {
    let every = move || own.iter().chain(SHARED);
    let page = move |PathParams(code): PathParams<String>, headers: HeaderMap| async move {
        let page = every().find(|page| page.code == code);
        let unknown = || {
            problem::NOT_FOUND
                .detail(format!("no problem has the code '{code}': GET /problems lists all"))
        };
        page.map(|page| readable(page.title(), page.text, &headers)).ok_or_else(unknown)
    };
    let list = move |headers: HeaderMap| async move {
        let mut pages: Vec<&ProblemPage> = every().collect();
        pages.sort_unstable_by_key(|page| page.code);
        let lines = pages.iter().fold(String::new(), |mut lines, page| {
            let (code, title) = (page.code, page.title());
            // Writing to a string cannot fail.
            writeln!(lines, "* [{code}](/problems/{code}): {title}").unwrap_or_default();
            lines
        });
        let text = format!("# {LIST}\n\nEach refusal names one of these as its `type`.\n\n{lines}");
        readable(LIST, &text, &headers)
    };
    Router::new().route("/problems", get(list)).route("/problems/{code}", get(page))
}

const LIST: &str = "Problems that this service answers";

impl ProblemPage {
    /// Its first line, without the sign of a heading.
    fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}

/// The page in HTML for browsers, else as it is written.
fn readable(title: &str, text: &str, headers: &HeaderMap) -> Response {
    if prefers_html(headers) {
        return html_page(title, text);
    }
    let form = HeaderValue::from_static("text/markdown; charset=utf-8");
    ([(header::CONTENT_TYPE, form), VARIES], text.to_owned()).into_response()
}
