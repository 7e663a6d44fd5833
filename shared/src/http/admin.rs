//! The admin server for operators: liveness, readiness, metrics, and an index of all that it serves.
//!
//! Liveness does not depend on dependencies: a service that lost its database waits for it, and a
//! restart would not help. Readiness says whether work should be sent here.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use serde::Serialize;
use tower::ServiceExt as _;

use super::{
    HttpSettings, JsonBody, Problem, finish,
    index::{IndexLink, ServerIndex},
    pages::{ProblemPage, problem_pages},
    problem,
};
use crate::{
    health::ProcessHealth,
    telemetry::{MetricsHandle, ProcessMetrics},
};

/// The answer of `/readyz`, short or verbose.
#[derive(Serialize)]
struct ReadinessBody {
    ready: bool,
    /// Each part that is not ready, and why; with `?verbose`, all parts.
    parts: BTreeMap<&'static str, String>,
}

/// The routes of the admin server. Health and metrics are there before the service has started, and
/// until then everything else is answered with 503.
#[derive(Clone, Debug)]
pub struct AdminRoutes {
    health: Router,
    index: ServerIndex,
    settings: HttpSettings,
    /// All routes, once the service has started.
    complete: Arc<OnceLock<Router>>,
}

impl AdminRoutes {
    /// Serves `/livez`, `/readyz`, `/metrics` and their index from the start.
    pub fn new(
        service: &str,
        process_metrics: ProcessMetrics,
        metrics: MetricsHandle,
        settings: HttpSettings,
    ) -> Self {
        let health = Router::new()
            .route("/livez", get(async || "alive"))
            .route("/readyz", get(readyz).with_state(process_metrics.health().clone()))
            .route("/metrics", get(render).with_state((process_metrics, metrics)));
        let index = ServerIndex {
            name: format!("{service}, for operators"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: "What is known here of the service's health, and what waits for a decision."
                .to_owned(),
            links: vec![
                IndexLink::page(
                    "/readyz?verbose",
                    "Whether work should be sent here, part by part",
                ),
                IndexLink::page("/livez", "Whether the process lives"),
                IndexLink::page("/metrics", "Metrics, as Prometheus reads them"),
            ],
        };
        Self { health, index, settings, complete: Arc::default() }
    }

    /// The router that serves operators and probes.
    pub fn router(&self) -> Router {
        let starting = self.health.clone().merge(self.index.clone().routes());
        let starting = starting.route("/{*path}", any(self::starting));
        let (starting, complete) = (finish(starting, &self.settings), Arc::clone(&self.complete));
        Router::new().fallback(async move |request: Request| {
            complete.get().unwrap_or(&starting).clone().oneshot(request).await
        })
    }

    /// Adds the operators' routes and the pages of the service's problems; the service has started.
    pub fn complete(&self, operators: OperatorRoutes, pages: &'static [ProblemPage]) {
        let OperatorRoutes { routes, links } = operators;
        let mut index = self.index.clone();
        index.links.extend(links);
        index.links.push(IndexLink::page("/problems", "What each refusal means, and what to do"));
        let routes = routes.merge(problem_pages(pages)).merge(index.routes());
        let complete = || finish(self.health.clone().merge(routes), &self.settings);
        self.complete.get_or_init(complete);
    }
}

/// Routes for operators, and what the index of the admin server says of them.
#[derive(Clone, Debug, Default)]
pub struct OperatorRoutes {
    /// The routes themselves, with their state.
    pub routes: Router,
    /// A link for each.
    pub links: Vec<IndexLink>,
}

impl OperatorRoutes {
    /// These routes and others, with the links of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.links.extend(other.links);
        Self { routes: self.routes.merge(other.routes), links: self.links }
    }
}

async fn starting() -> Problem {
    let problem = problem::UNAVAILABLE.detail("the service is still starting: ask again after the time in Retry-After, or see GET /readyz");
    problem.retry_after(Duration::from_secs(1))
}

async fn readyz(State(health): State<ProcessHealth>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|text| text.split('&').any(|text| text.starts_with("verbose")));
    let report = health.report();
    let ready = report.values().all(Result::is_ok);
    let parts = report
        .into_iter()
        .filter(|(_, state)| verbose || state.is_err())
        .map(|(name, state)| (name, state.map_or_else(|reason| reason, Cow::into_owned)))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, JsonBody(ReadinessBody { ready, parts })).into_response()
}

async fn render(
    State((process_metrics, metrics)): State<(ProcessMetrics, MetricsHandle)>,
) -> Response {
    process_metrics.collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
        .into_response()
}
