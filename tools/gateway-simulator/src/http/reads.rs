//! `GET /charges` and `GET /refunds`: the queries of a client. Faults affect them too, but reads
//! are not written to the journal.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, Query, Request, State, rejection::QueryRejection},
    http::Response,
    middleware::Next,
};
use serde::Serialize;
use tokio::time::sleep;

use super::{GatewayState, end, refuse, respond};
use crate::{
    api::{answer::ApiAnswer, refusal::RequestRefusal},
    cuttable::CutSignal,
    executor::ExecutorStopped,
    faults::{CallEnding, CallStart},
    ledger::{ChargeLedger, ChargesQuery, RefundsQuery},
};

/// `GET /charges/{id}`
pub(super) async fn charge(
    State(gateway): State<Arc<GatewayState>>,
    Path(id): Path<String>,
) -> Response<Body> {
    show(gateway.executor.look(move |ledger| ledger.charge(&id)).await)
}

/// `GET /charges`
pub(super) async fn charges(
    State(gateway): State<Arc<GatewayState>>,
    query: Result<Query<ChargesQuery>, QueryRejection>,
) -> Response<Body> {
    list(&gateway, query, ChargeLedger::charges).await
}

/// `GET /refunds`
pub(super) async fn refunds(
    State(gateway): State<Arc<GatewayState>>,
    query: Result<Query<RefundsQuery>, QueryRejection>,
) -> Response<Body> {
    list(&gateway, query, ChargeLedger::refunds).await
}

async fn list<Q: Send + 'static, T: Serialize + Send + 'static>(
    gateway: &GatewayState,
    query: Result<Query<Q>, QueryRejection>,
    read: fn(&ChargeLedger, &Q) -> Result<T, RequestRefusal>,
) -> Response<Body> {
    match query {
        Ok(Query(query)) => show(gateway.executor.look(move |ledger| read(ledger, &query)).await),
        Err(rejection) => refuse(&RequestRefusal::Invalid(rejection.body_text())),
    }
}

pub(super) fn show<T: Serialize>(
    seen: Result<Result<T, RequestRefusal>, ExecutorStopped>,
) -> Response<Body> {
    match seen {
        Ok(Ok(object)) => respond(ApiAnswer::of(200, &object)),
        Ok(Err(refusal)) => refuse(&refusal),
        Err(ExecutorStopped) => refuse(&RequestRefusal::Unavailable),
    }
}

/// Lets faults strike a call that only looks.
pub(super) async fn with_faults(
    State(gateway): State<Arc<GatewayState>>,
    ConnectInfo(cut): ConnectInfo<CutSignal>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let fate = gateway.switches.draw();
    match fate.start {
        CallStart::Pass => {}
        CallStart::Refuse => return refuse(&RequestRefusal::Unavailable),
        CallStart::Drop => {
            return end(CallEnding::Drop, refuse(&RequestRefusal::Unavailable), &cut);
        }
    }
    if !fate.delay.is_zero() {
        sleep(fate.delay).await;
    }
    end(fate.ending, next.run(request).await, &cut)
}
