//! `POST /charges` and `POST /refunds`: calls that move money, each noted in the journal.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response},
};
use tokio::time::sleep;

use super::{GatewayState, end, respond};
use crate::{
    api::{
        ApiRequest, CardToken, ChargeRequest, MoneyOperation, RefundRequest,
        refusal::RequestRefusal,
    },
    cuttable::CutSignal,
    executor::{CallEnd, CallResult, CallTarget, ExecutionTime, ExecutorStopped, ParsedCall},
    faults::{CallEnding, CallFate, CallStart},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_BYTES_MAX: usize = 255;
/// Calls that wait at once; more are refused, as they would go on without their clients.
const WAITING_MAX: usize = 10_000;

/// `POST /charges`
pub(super) async fn charge(
    State(gateway): State<Arc<GatewayState>>,
    ConnectInfo(cut): ConnectInfo<CutSignal>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = ChargeRequest::parse(&body).map(ApiRequest::Charge);
    answer(&gateway, &cut, MoneyOperation::Charge, key(&headers), request).await
}

/// `POST /refunds`
pub(super) async fn refund(
    State(gateway): State<Arc<GatewayState>>,
    ConnectInfo(cut): ConnectInfo<CutSignal>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = RefundRequest::parse(&body).map(ApiRequest::Refund);
    answer(&gateway, &cut, MoneyOperation::Refund, key(&headers), request).await
}

async fn answer(
    gateway: &Arc<GatewayState>,
    cut: &CutSignal,
    operation: MoneyOperation,
    key: Result<String, RequestRefusal>,
    request: Result<ApiRequest, RequestRefusal>,
) -> Response<Body> {
    let served = serve(gateway, operation, key, request).await;
    let Ok(CallEnd { answer, replayed, ending }) = served else {
        // The gateway is going away, and nobody knows what became of the call.
        cut.cut();
        return respond(RequestRefusal::Unavailable.answer());
    };
    let mut response = respond(answer);
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    end(ending, response, cut)
}

async fn serve(
    gateway: &Arc<GatewayState>,
    operation: MoneyOperation,
    key: Result<String, RequestRefusal>,
    request: Result<ApiRequest, RequestRefusal>,
) -> Result<CallEnd, ExecutorStopped> {
    let fate = gateway.switches.draw();
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
    if fate.start != CallStart::Pass || full {
        let attempt = turned_away(operation, Some(key), &fate, RequestRefusal::Unavailable);
        return at_once(gateway, attempt).await;
    }
    let attempt = move |when| ParsedCall {
        operation,
        key: Some(key.clone()),
        wish: CallTarget::Do(request.clone(), when),
        ending: fate.ending,
    };
    if delay.is_zero() {
        return at_once(gateway, attempt(ExecutionTime::Now)).await;
    }
    // A gateway does not stop working because its client has stopped listening.
    let late = late(Arc::clone(gateway), attempt, fate.delay, delay);
    gateway.waiting.spawn(late).await.unwrap_or(Err(ExecutorStopped))
}

/// Holds the key, waits, executes. What needs no executing waits only as long as every call does:
/// with a slow card it is the executing that is slow.
async fn late(
    gateway: Arc<GatewayState>,
    attempt: impl Fn(ExecutionTime) -> ParsedCall,
    delay: Duration,
    delay_to_execute: Duration,
) -> Result<CallEnd, ExecutorStopped> {
    let served = gateway.executor.attempt(attempt(ExecutionTime::Later)).await?;
    let delay = if matches!(&served, CallResult::Held) { delay_to_execute } else { delay };
    tokio::select! {
        () = gateway.stop.cancelled() => return Err(ExecutorStopped),
        () = sleep(delay) => (),
    }
    match served {
        CallResult::Done(reply) => Ok(reply),
        CallResult::Held => at_once(&gateway, attempt(ExecutionTime::AfterHold)).await,
    }
}

/// An attempt at which the request is not executed. What its fate does not pass is not looked at.
fn turned_away(
    operation: MoneyOperation,
    key: Option<String>,
    fate: &CallFate,
    refusal: RequestRefusal,
) -> ParsedCall {
    let (refusal, ending) = match fate.start {
        CallStart::Pass => (refusal, fate.ending),
        CallStart::Refuse => (RequestRefusal::Unavailable, CallEnding::Answer),
        CallStart::Drop => (RequestRefusal::Unavailable, CallEnding::Drop),
    };
    ParsedCall { operation, key, wish: CallTarget::Refused(refusal), ending }
}

async fn at_once(gateway: &GatewayState, attempt: ParsedCall) -> Result<CallEnd, ExecutorStopped> {
    match gateway.executor.attempt(attempt).await? {
        CallResult::Done(reply) => Ok(reply),
        CallResult::Held => unreachable!("only what is done later is held"),
    }
}

fn is_slow(request: &ApiRequest) -> bool {
    matches!(request, ApiRequest::Charge(charge) if charge.source == CardToken::Slow)
}

fn key(headers: &HeaderMap) -> Result<String, RequestRefusal> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(RequestRefusal::BadKey)
}
