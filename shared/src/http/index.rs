//! The index of a server, `/`: what it is and what can be asked for; HTML for browsers, JSON for
//! everybody else.

use std::fmt::Write as _;

use axum::{
    Router,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    JsonBody,
    html::{VARIES, html_page, prefers_html},
};

/// Something that a server can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexLink {
    /// The HTTP method to ask with.
    pub method: String,
    /// The path, with names in braces for what is variable.
    pub path: String,
    /// What it is, in a few words.
    pub about: String,
}

impl IndexLink {
    /// Something that a browser can be sent to.
    pub fn page(path: &str, about: &str) -> Self {
        Self::of("GET", path, about)
    }

    /// Something that is asked for with this method.
    pub fn of(method: &str, path: &str, about: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), about: about.to_owned() }
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ServerIndex {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) about: String,
    pub(super) links: Vec<IndexLink>,
}

impl ServerIndex {
    /// The route that answers with it.
    pub(super) fn routes(self) -> Router {
        Router::new().route("/", get(async move |headers: HeaderMap| self.answer(&headers)))
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        if prefers_html(headers) {
            return html_page(&self.name, &self.markdown());
        }
        ([VARIES], JsonBody(self)).into_response()
    }

    fn markdown(&self) -> String {
        let Self { name, version, about, links } = self;
        let mut text = format!("# {name}\n\n{about} Version {version}.\n\n| | |\n| --- | --- |\n");
        for IndexLink { method, path, about } in links {
            let is_page = method == "GET" && !path.contains('{');
            let place = if is_page { format!("[{path}]({path})") } else { format!("`{path}`") };
            // Writing to a string cannot fail.
            writeln!(text, "| `{method}` {place} | {about} |").unwrap_or_default();
        }
        text
    }
}
