//! The page behind each problem's `type`: `/problems/<code>`.

use axum::{
    Router,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::{Path, problem};

/// The page of one kind of problem.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The problem's code.
    pub code: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// The pages of the kinds that every service has.
const SHARED: &[Page] = &[];

/// Serves the pages of a service, and those that every service has.
pub fn problem_pages(own: &'static [Page]) -> Router {
    let page = move |Path(code): Path<String>| async move {
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
