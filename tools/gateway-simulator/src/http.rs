//! The gateway over HTTP: its product API (`/charges`, `/refunds`), which faults affect, and the
//! test API (`/faults`, `/keys`, `/summary`, `/livez`), which no fault affects.

mod attempts;
mod reads;
mod test_api;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, Response, StatusCode, header},
    middleware,
    response::IntoResponse as _,
    routing::{delete, get, post},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{answer::ApiAnswer, refusal::RequestRefusal},
    cuttable::{CutSignal, OpenConnections},
    executor::ExecutorHandle,
    faults::{CallEnding, FaultSwitches},
};

const NO_ROUTE: &str = "No such route: GET / lists what there is.";

const BODY_BYTES_MAX: usize = 16 * 1_024;

/// State that the handlers share.
#[derive(Debug)]
pub(crate) struct GatewayState {
    pub(crate) executor: ExecutorHandle,
    pub(crate) switches: FaultSwitches,
    pub(crate) switchboard: OpenConnections,
    /// Calls that wait for their time and go on without their client.
    pub(crate) waiting: TaskTracker,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn router(gateway: Arc<GatewayState>) -> Router {
    let reads = Router::new()
        .route("/charges", get(reads::charges))
        .route("/charges/{id}", get(reads::charge))
        .route("/refunds", get(reads::refunds))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&gateway), reads::with_faults));
    let writes = Router::new()
        .route("/charges", post(attempts::charge))
        .route("/refunds", post(attempts::refund));
    let test_api = Router::new()
        .route(
            "/faults",
            get(test_api::faults).put(test_api::switch_faults).delete(test_api::reset_faults),
        )
        .route("/keys", delete(test_api::forget_keys))
        .route("/summary", get(test_api::summary))
        .route("/livez", get(test_api::livez));
    reads
        .merge(writes)
        .merge(test_api)
        .route("/", get(test_api::index))
        .fallback(async || respond(RequestRefusal::NotFound(NO_ROUTE).answer()))
        // Either has the header `Allow`, which the router adds.
        .method_not_allowed_fallback(async |method: Method| {
            if method == Method::OPTIONS {
                return StatusCode::NO_CONTENT.into_response();
            }
            respond(RequestRefusal::MethodNotAllowed.answer())
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(gateway)
}

/// An answer on its way out.
fn respond(answer: ApiAnswer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn refuse(refusal: &RequestRefusal) -> Response<Body> {
    respond(refusal.answer())
}

/// Ends a call as its fate wants it.
fn end(ending: CallEnding, response: Response<Body>, cut: &CutSignal) -> Response<Body> {
    match ending {
        CallEnding::Answer => response,
        CallEnding::Error => refuse(&RequestRefusal::Broken),
        CallEnding::Drop => {
            cut.cut();
            response
        }
    }
}
