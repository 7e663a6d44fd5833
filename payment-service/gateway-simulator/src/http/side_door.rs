//! The tester's side door: switching faults, forgetting keys, and counts. No fault touches it.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::Response,
};
use serde_json::json;

use super::{Gateway, refuse, respond};
use crate::{
    api::{answer::Answer, from_json, refusal::Refusal},
    faults::Faults,
    ledger::Ledger,
    line::Cut,
};

/// `GET /livez`
pub(super) async fn livez() -> Response<Body> {
    respond(Answer::of(200, &json!({ "status": "ok" })))
}

/// `GET /summary`
pub(super) async fn summary(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    match gateway.desk.look(Ledger::summary).await {
        Ok(summary) => respond(Answer::of(200, &summary)),
        Err(_) => refuse(&Refusal::Unavailable),
    }
}

/// `DELETE /keys`: a gateway remembers its keys for a time only.
pub(super) async fn forget_keys(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    match gateway.desk.forget_keys().await {
        Ok(()) => {
            tracing::info!("all keys are forgotten");
            respond(Answer::of(200, &json!({ "keys": 0 })))
        }
        Err(_) => refuse(&Refusal::Unavailable),
    }
}

/// `GET /faults`
pub(super) async fn faults(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    respond(Answer::of(200, &gateway.switches.faults()))
}

/// `PUT /faults`: what is not given is not broken.
pub(super) async fn switch_faults(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    body: Bytes,
) -> Response<Body> {
    match from_json(&body).and_then(|faults| switch(&gateway, &cut, faults)) {
        Ok(answer) => respond(answer),
        Err(refusal) => refuse(&refusal),
    }
}

/// `DELETE /faults`
pub(super) async fn reset_faults(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
) -> Response<Body> {
    match switch(&gateway, &cut, Faults::default()) {
        Ok(answer) => respond(answer),
        Err(refusal) => refuse(&refusal),
    }
}

fn switch(gateway: &Gateway, cut: &Cut, faults: Faults) -> Result<Answer, Refusal> {
    let (down, answer) = (faults.down, Answer::of(200, &faults));
    gateway.switches.switch(faults)?;
    if down {
        gateway.switchboard.cut_all_but(Some(cut));
    }
    tracing::info!(down, "faults switched");
    Ok(answer)
}
