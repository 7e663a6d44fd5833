//! The server for operators: is it alive, is it ready, what are its numbers.
//!
//! Alive says nothing of dependencies: a service that lost its database waits for it, and killing
//! it would help nobody. Ready says whether work should be sent here.

use std::{borrow::Cow, collections::BTreeMap};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Serialize;

use super::Json;
use crate::{
    health::Health,
    telemetry::{Metrics, Vitals},
};

/// What `/readyz` answers.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Each part that is not ready, and why; with `?verbose`, all parts.
    parts: BTreeMap<&'static str, String>,
}

/// `/livez`, `/readyz`, `/metrics`.
pub fn admin(vitals: Vitals, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "alive"))
        .route("/readyz", get(readyz).with_state(vitals.health().clone()))
        .route("/metrics", get(render).with_state((vitals, metrics)))
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|it| it.split('&').any(|it| it.starts_with("verbose")));
    let report = health.report();
    let ready = report.values().all(Result::is_ok);
    let parts = report
        .into_iter()
        .filter(|(_, state)| verbose || state.is_err())
        .map(|(name, state)| (name, state.map_or_else(|reason| reason, Cow::into_owned)))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, parts })).into_response()
}

async fn render(State((vitals, metrics)): State<(Vitals, Metrics)>) -> Response {
    vitals.look();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
        .into_response()
}
