//! How a service is asked and how it answers: one server, one form of refusal, one way to read.
//!
//! ```text
//! connection ──> context (ids, span, numbers) ──> rate ──> panic and time limits ──> route ──> extract ──> handler
//!                   └── every refusal leaves as a Problem with the request's ids
//! ```
//!
//! A service builds its routes, hands them to [`finish`], binds with [`bind`] and serves them with
//! [`serve`]; [`mod@admin`] is the second server, for its operators.
//!
//! **Architecture invariant:** every answer that is not a success is a [`Problem`]: a page not
//! found, a body that cannot be read, a panic. One that is our fault (5xx) says nothing of its
//! cause; that is in the log, under the same trace.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware,
};

pub use self::{
    admin::admin,
    context::RequestContext,
    dead_letters::dead_letters,
    description::describe,
    extract::{Idempotent, Json, Path, Query},
    lookup::look_up,
    pages::{ProblemPage, has_pages, problem_pages},
    paging::{BadPageLimit, Page, PageLimit},
    problem::{FieldError, Problem, ProblemDocument, ProblemType},
    question::ask_readiness,
    rate::Rate,
    replay::{REPLAYED, stored},
    retry_after::retry_after,
    server::{bind, serve},
    whole::whole,
};

mod admin;
mod context;
mod dead_letters;
mod description;
mod extract;
mod guard;
mod lookup;
mod pages;
mod paging;
pub mod problem;
mod question;
mod rate;
mod replay;
mod retry_after;
mod server;
mod unambiguous;
mod whole;

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What a body may weigh.
    pub body_bytes_max: usize,
    /// From a request's head to its answer's head, at most.
    pub request_limit: Duration,
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take for a request's head; also how long an idle connection stays.
    pub header_limit: Duration,
    /// How long requests may go on after the server was told to stop.
    pub stop_limit: Duration,
    /// How often one caller may ask; as often as it likes, if none.
    pub rate: Option<Rate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            request_limit: Duration::from_secs(10),
            connections_max: 10_000,
            header_limit: Duration::from_secs(20),
            stop_limit: Duration::from_millis(2_500),
            rate: None,
        }
    }
}

/// Puts around a service's routes what every server needs: limits, ids, numbers, and a problem for
/// whatever has no route. To be called last, with the state given.
pub fn finish(routes: Router, settings: &Settings) -> Router {
    let mut routes = routes
        .fallback(async |method: Method, uri: Uri| {
            problem::NOT_FOUND.detail(format!("{method} {} leads nowhere", uri.path()))
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let detail = format!("{method} is not known at {}", uri.path());
            problem::METHOD_NOT_ALLOWED.detail(detail)
        })
        .layer(DefaultBodyLimit::max(settings.body_bytes_max))
        .layer(middleware::from_fn_with_state(settings.request_limit, guard::limits));
    if let Some(rate) = settings.rate {
        let limiter = Arc::new(rate::Limiter::new(rate));
        routes = routes.layer(middleware::from_fn_with_state(limiter, rate::limit));
    }
    routes.layer(middleware::from_fn(context::context))
}

#[cfg(test)]
mod tests;
