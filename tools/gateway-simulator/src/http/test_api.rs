//! The test API: switching faults, forgetting keys, and counts. No fault affects it.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::Response,
};
use serde_json::json;

use super::{GatewayState, reads::show, refuse, respond};
use crate::{
    api::{answer::ApiAnswer, from_json, refusal::RequestRefusal},
    cuttable::CutSignal,
    faults::FaultSettings,
};

/// `GET /`: what there is.
pub(super) async fn index() -> Response<Body> {
    respond(ApiAnswer::of(
        200,
        &json!({
            "name": "gateway-simulator",
            "version": env!("CARGO_PKG_VERSION"),
            "about": "A payment gateway with faults: no money is moved.",
            "links": {
                "GET /charges": "Charges, newest first",
                "GET /charges/{id}": "One of them, with its refunds",
                "POST /charges": "Charges a card, under an Idempotency-Key",
                "GET /refunds": "Refunds, newest first",
                "POST /refunds": "Refunds a charge, under an Idempotency-Key",
                "GET /summary": "Counts and sums of all of these",
                "GET /faults": "What is broken on purpose; PUT breaks it, DELETE repairs all",
                "DELETE /keys": "Forgets every Idempotency-Key",
                "GET /livez": "Whether it lives",
            },
        }),
    ))
}

/// `GET /livez`
pub(super) async fn livez() -> Response<Body> {
    respond(ApiAnswer::of(200, &json!({ "status": "ok" })))
}

/// `GET /summary`
pub(super) async fn summary(State(gateway): State<Arc<GatewayState>>) -> Response<Body> {
    show(gateway.executor.look(|ledger| Ok(ledger.summary())).await)
}

/// `DELETE /keys`: a gateway remembers its keys for a time only.
pub(super) async fn forget_keys(State(gateway): State<Arc<GatewayState>>) -> Response<Body> {
    match gateway.executor.forget_keys().await {
        Ok(()) => {
            tracing::info!("all keys are forgotten");
            respond(ApiAnswer::of(200, &json!({ "keys": 0 })))
        }
        Err(_) => refuse(&RequestRefusal::Unavailable),
    }
}

/// `GET /faults`
pub(super) async fn faults(State(gateway): State<Arc<GatewayState>>) -> Response<Body> {
    respond(ApiAnswer::of(200, &gateway.switches.faults()))
}

/// `PUT /faults`: what is not given is not broken.
pub(super) async fn switch_faults(
    State(gateway): State<Arc<GatewayState>>,
    ConnectInfo(cut): ConnectInfo<CutSignal>,
    body: Bytes,
) -> Response<Body> {
    match from_json(&body) {
        Ok(faults) => switch(&gateway, &cut, faults),
        Err(refusal) => refuse(&refusal),
    }
}

/// `DELETE /faults`
pub(super) async fn reset_faults(
    State(gateway): State<Arc<GatewayState>>,
    ConnectInfo(cut): ConnectInfo<CutSignal>,
) -> Response<Body> {
    switch(&gateway, &cut, FaultSettings::default())
}

fn switch(gateway: &GatewayState, cut: &CutSignal, faults: FaultSettings) -> Response<Body> {
    let (down, answer) = (faults.down, ApiAnswer::of(200, &faults));
    if let Err(refusal) = gateway.switches.switch(faults) {
        return refuse(&refusal);
    }
    if down {
        gateway.switchboard.cut_all_but(Some(cut));
    }
    tracing::info!(down, "faults switched");
    respond(answer)
}
