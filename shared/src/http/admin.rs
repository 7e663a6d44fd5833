//! The admin server for operators: liveness, readiness, metrics.
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

use super::{HttpSettings, JsonBody, Problem, finish, problem};
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
    settings: HttpSettings,
    /// All routes, once the service has started.
    complete: Arc<OnceLock<Router>>,
}

impl AdminRoutes {
    /// Serves `/livez`, `/readyz` and `/metrics` from the start.
    pub fn new(
        process_metrics: ProcessMetrics,
        metrics: MetricsHandle,
        settings: HttpSettings,
    ) -> Self {
        let health = Router::new()
            .route("/livez", get(async || "alive"))
            .route("/readyz", get(readyz).with_state(process_metrics.health().clone()))
            .route("/metrics", get(render).with_state((process_metrics, metrics)));
        Self { health, settings, complete: Arc::default() }
    }

    /// The router that serves operators and probes.
    pub fn router(&self) -> Router {
        let starting =
            self.health.clone().route("/", any(starting)).route("/{*path}", any(starting));
        let (starting, complete) = (finish(starting, &self.settings), Arc::clone(&self.complete));
        Router::new().fallback(async move |request: Request| {
            complete.get().unwrap_or(&starting).clone().oneshot(request).await
        })
    }

    /// Adds the operators' routes; the service has started.
    pub fn complete(&self, operators: Router) {
        let complete = || finish(self.health.clone().merge(operators), &self.settings);
        self.complete.get_or_init(complete);
    }
}

async fn starting() -> Problem {
    let problem = problem::UNAVAILABLE.detail("the service is still starting");
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
