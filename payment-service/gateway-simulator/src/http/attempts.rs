//! `POST /charges` and `POST /refunds`: calls that move money, each noted in the journal.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response},
};
use tokio::time::sleep;

use super::{Gateway, end, respond};
use crate::{
    api::{Card, ChargeRequest, Operation, RefundRequest, Request, refusal::Refusal},
    desk::{Attempt, Closed, Reply, Served, When, Wish},
    faults::{Ending, Fate, Start},
    line::Cut,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_BYTES_MAX: usize = 255;
/// Calls that wait at once; more are refused, as they would go on without their clients.
const WAITING_MAX: usize = 10_000;

/// `POST /charges`
pub(super) async fn charge(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = ChargeRequest::parse(&body).map(Request::Charge);
    answer(&gateway, &cut, Call { operation: Operation::Charge, key: key(&headers), request }).await
}

/// `POST /refunds`
pub(super) async fn refund(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = RefundRequest::parse(&body).map(Request::Refund);
    answer(&gateway, &cut, Call { operation: Operation::Refund, key: key(&headers), request }).await
}

/// A call as it was understood.
struct Call {
    operation: Operation,
    key: Result<String, Refusal>,
    request: Result<Request, Refusal>,
}

async fn answer(gateway: &Arc<Gateway>, cut: &Cut, call: Call) -> Response<Body> {
    let Ok(Reply { answer, replayed, ending }) = serve(gateway, call).await else {
        // The gateway is going away, and nobody knows what became of the call.
        cut.cut();
        return respond(Refusal::Unavailable.answer());
    };
    let mut response = respond(answer);
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    end(ending, response, cut)
}

async fn serve(gateway: &Arc<Gateway>, call: Call) -> Result<Reply, Closed> {
    let fate = gateway.switches.draw();
    let Call { operation, key, request } = call;
    let (key, request) = match (key, request) {
        (Ok(key), Ok(request)) => (key, request),
        (Err(refusal), _) => {
            return at_once(gateway, turned_away(operation, None, &fate, refusal)).await;
        }
        (Ok(key), Err(refusal)) => {
            return at_once(gateway, turned_away(operation, Some(key), &fate, refusal)).await;
        }
    };
    let delay = fate.delay + if is_slow(&request) { fate.slow } else { Duration::ZERO };
    let full = !delay.is_zero() && gateway.waiting.len() >= WAITING_MAX;
    if fate.start != Start::Pass || full {
        let attempt = turned_away(operation, Some(key), &fate, Refusal::Unavailable);
        return at_once(gateway, attempt).await;
    }
    let attempt = move |when| Attempt {
        operation,
        key: Some(key.clone()),
        wish: Wish::Do(request.clone(), when),
        ending: fate.ending,
    };
    if delay.is_zero() {
        return at_once(gateway, attempt(When::Now)).await;
    }
    // A gateway does not stop working because its client has stopped listening.
    let late = late(Arc::clone(gateway), attempt, fate.delay, delay);
    gateway.waiting.spawn(late).await.unwrap_or(Err(Closed))
}

/// Holds the key, waits, executes. What needs no executing waits only as long as every call does:
/// with a slow card it is the executing that is slow.
async fn late(
    gateway: Arc<Gateway>,
    attempt: impl Fn(When) -> Attempt,
    delay: Duration,
    delay_to_execute: Duration,
) -> Result<Reply, Closed> {
    let served = gateway.desk.attempt(attempt(When::Later)).await?;
    let delay = if matches!(&served, Served::Held) { delay_to_execute } else { delay };
    tokio::select! {
        () = gateway.stop.cancelled() => return Err(Closed),
        () = sleep(delay) => (),
    }
    match served {
        Served::Done(reply) => Ok(reply),
        Served::Held => at_once(&gateway, attempt(When::AfterHold)).await,
    }
}

/// An attempt at which the request is not executed. What its fate does not pass is not looked at.
fn turned_away(
    operation: Operation,
    key: Option<String>,
    fate: &Fate,
    refusal: Refusal,
) -> Attempt {
    let (refusal, ending) = match fate.start {
        Start::Pass => (refusal, fate.ending),
        Start::Refuse => (Refusal::Unavailable, Ending::Answer),
        Start::Drop => (Refusal::Unavailable, Ending::Drop),
    };
    Attempt { operation, key, wish: Wish::Refused(refusal), ending }
}

async fn at_once(gateway: &Gateway, attempt: Attempt) -> Result<Reply, Closed> {
    match gateway.desk.attempt(attempt).await? {
        Served::Done(reply) => Ok(reply),
        Served::Held => unreachable!("only what is done later is held"),
    }
}

fn is_slow(request: &Request) -> bool {
    matches!(request, Request::Charge(charge) if charge.source == Card::Slow)
}

fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(Refusal::BadKey)
}
