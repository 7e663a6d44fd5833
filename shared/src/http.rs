//! The HTTP server: one server, one form of refusal, one way to read requests.
//!
//! ```text
//! connection ──> context (ids, span, numbers) ──> origin ──> rate ──> panic and time limits ──> route ──> extract ──> handler
//!                   └── every refusal leaves as a Problem with the request's ids
//! ```
//!
//! A service builds its routes, hands them to [`finish`], binds with [`bind`] and serves them with
//! [`serve`]; [`mod@admin`] is the second server, for its operators.
//!
//! **Architecture invariant:** every answer that is not a success is a [`Problem`]: a page not
//! found, a body that cannot be read, a panic. A server fault (5xx) does not show its cause; the
//! cause is in the log, under the same trace.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    middleware,
};

use self::extract::BodyLimit;
pub(crate) use self::healthcheck::ask_readiness;
pub use self::{
    admin::{AdminRoutes, OperatorRoutes},
    api::{ApiPages, api_routes},
    cors::CorsOrigins,
    dead_letters::{HeaderView, LetterView, MessageView, ReasonCounts, dead_letters},
    description::{OwnProblems, describe},
    extract::{IdempotentBody, JsonBody, PathParams, QueryParams},
    index::IndexLink,
    lenient_integer::whole,
    lookup::look_up,
    pages::{ProblemPage, has_pages},
    paging::{BadPageLimit, ListPage, PageLimit},
    problem::{FieldError, Problem, ProblemDocument, ProblemExample, ProblemType},
    rate::RateLimit,
    replay::respond,
    request_context::RequestContext,
    retry_after::retry_after,
    server::{bind, serve},
};
pub(crate) use self::{replay::REPLAYED, server::CUTS};

mod admin;
mod api;
mod context;
mod cors;
mod dead_letters;
mod description;
mod extract;
mod healthcheck;
mod html;
mod index;
mod input_fault;
mod input_value;
mod lenient_integer;
mod lookup;
mod pages;
mod paging;
pub mod problem;
mod rate;
mod replay;
mod request_context;
mod request_limits;
mod retry_after;
mod server;
mod strict_json;

/// What a server allows.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// What a body may weigh.
    pub body_bytes_max: usize,
    /// From a request's head to its answer's head, at most.
    pub request_limit: Duration,
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take for a request's head, from its first byte on.
    pub header_limit: Duration,
    /// How long a connection stays on which no request has begun. Longer than that of a balancer in
    /// front, so that it is the balancer who closes: AWS' keeps them for 60 s, nginx for 60 s (to
    /// what it is in front of), Google's for 600 s.
    pub idle_limit: Duration,
    /// How long a client may take nothing of its answer; then its connection is reset.
    pub write_limit: Duration,
    /// How long requests may go on after the server was told to stop.
    pub stop_limit: Duration,
    /// How often one caller may ask; as often as it likes, if none.
    pub rate: Option<RateLimit>,
    /// Whose pages may ask from within a browser; nobody's, if none.
    pub cors: Option<CorsOrigins>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            request_limit: Duration::from_secs(10),
            connections_max: 10_000,
            header_limit: Duration::from_secs(20),
            idle_limit: Duration::from_secs(75),
            write_limit: Duration::from_secs(30),
            stop_limit: Duration::from_millis(2_500),
            rate: None,
            cors: None,
        }
    }
}

/// Puts around a service's routes what every server needs: limits, ids, numbers, and a problem for
/// whatever has no route. To be called last, with the state given.
pub fn finish(routes: Router, settings: &HttpSettings) -> Router {
    let mut routes = routes
        .fallback(async |method: Method, uri: Uri| {
            // `OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7).
            if method == Method::OPTIONS && uri.path() == "*" {
                return Ok(StatusCode::NO_CONTENT);
            }
            let detail =
                format!("no route matches {method} {}: GET / lists what there is", uri.path());
            Err(problem::NOT_FOUND.detail(detail))
        })
        // Either has the header `Allow`, which the router adds.
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            if method == Method::OPTIONS {
                return Ok(StatusCode::NO_CONTENT);
            }
            let path = uri.path();
            let detail =
                format!("{path} does not take {method}: the header Allow lists what it takes");
            Err(problem::METHOD_NOT_ALLOWED.detail(detail))
        })
        .layer(DefaultBodyLimit::max(settings.body_bytes_max))
        .layer(Extension(BodyLimit(settings.body_bytes_max)))
        .layer(middleware::from_fn_with_state(settings.request_limit, request_limits::limits));
    if let Some(rate) = settings.rate {
        let limiter = Arc::new(rate::CallerLimiter::new(rate));
        routes = routes.layer(middleware::from_fn_with_state(limiter, rate::limit));
    }
    if let Some(cors) = &settings.cors {
        // Around the refusals, so that a page can read them.
        routes = routes.layer(middleware::from_fn_with_state(cors.clone(), cors::cors));
    }
    routes.layer(middleware::from_fn(context::context))
}

#[cfg(test)]
mod tests;
