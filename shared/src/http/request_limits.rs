//! Limits of a handler: a panic is caught, and the run time is limited.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;

use super::{Problem, problem};

/// Answers for a handler that panics or takes too long. Work that it began in another task goes on.
pub(super) async fn limits(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, handler).await {
        Ok(Ok(response)) => response,
        // The panic hook has logged it.
        Ok(Err(_panic)) => Problem::ours().into_response(),
        Err(_elapsed) => {
            tracing::warn!(limit_ms = limit.as_millis(), "a request took too long");
            let detail = format!(
                "the answer took more than {} s, and whether the request was processed is unknown: \
                 repeat it with the same Idempotency-Key if it has one, and it takes effect once",
                limit.as_secs_f64()
            );
            problem::TIMEOUT.detail(detail).retry_after(Duration::from_secs(1)).into_response()
        }
    }
}
