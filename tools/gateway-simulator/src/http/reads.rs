//! `GET /charges` and `GET /refunds`: the queries of a client. Faults affect them too, but reads
//! are not written to the journal.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, Query, Request, State, rejection::QueryRejection},
    http::Response,
    middleware::Next,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{GatewayState, end, refuse, respond};
use crate::{
    api::{answer::ApiAnswer, refusal::RequestRefusal},
    cuttable::CutSignal,
    executor::ExecutorStopped,
    faults::{CallEnding, CallStart},
    ledger::{ChargeFilter, PageRange},
};

/// The query of `GET /charges`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargesQuery {
    order_id: Option<String>,
    key: Option<String>,
    limit: Option<usize>,
    starting_after: Option<String>,
}

/// The query of `GET /refunds`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundsQuery {
    charge: Option<String>,
    limit: Option<usize>,
    starting_after: Option<String>,
}

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
    let Query(ChargesQuery { order_id, key, limit, starting_after }) = match query {
        Ok(query) => query,
        Err(rejection) => return refuse(&RequestRefusal::Invalid(rejection.body_text())),
    };
    let (filter, page) = (ChargeFilter { order_id, key }, PageRange { limit, starting_after });
    show(gateway.executor.look(move |ledger| ledger.charges(&filter, &page)).await)
}

/// `GET /refunds`
pub(super) async fn refunds(
    State(gateway): State<Arc<GatewayState>>,
    query: Result<Query<RefundsQuery>, QueryRejection>,
) -> Response<Body> {
    let Query(RefundsQuery { charge, limit, starting_after }) = match query {
        Ok(query) => query,
        Err(rejection) => return refuse(&RequestRefusal::Invalid(rejection.body_text())),
    };
    let page = PageRange { limit, starting_after };
    show(gateway.executor.look(move |ledger| ledger.refunds(charge.as_deref(), &page)).await)
}

fn show<T: Serialize>(seen: Result<Result<T, RequestRefusal>, ExecutorStopped>) -> Response<Body> {
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
