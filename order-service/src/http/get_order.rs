//! `GET /orders/{order_id}`

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{IntoResponse as _, Response},
};
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument, look_up};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{OrderApi, problem::not_found, view::OrderWithHistory};
use crate::{domain::order::OrderStage, store::view};

/// The longest wait for an order to end: below the time limit of a request.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// The interval at which the order is read while a caller waits.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An order and what has happened to it.
#[utoipa::path(
    get,
    path = "/orders/{order_id}",
    tag = "orders",
    params(
        ("order_id" = Uuid, Path, description = "The order."),
        ("Prefer" = Option<String>, Header,
            description = "`wait=N`: answer once the order is no longer pending, or after N seconds (RFC 7240), at most 8."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderWithHistory),
        (status = 400, description = "That is no order id.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_order(
    State(api): State<OrderApi>,
    PathParams(order_id): PathParams<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = preferred_wait(&headers);
    // The number of waiting callers is limited; further callers are answered at once.
    let room = wait.and_then(|_| api.waiting.try_acquire().ok());
    let until = Instant::now() + wait.filter(|_| room.is_some()).unwrap_or_default();
    loop {
        let look = async |conn: &mut PgConnection| {
            let Some(order) = view::order(conn, order_id).await? else { return Ok(None) };
            Ok::<_, sqlx::Error>(Some((order, view::history(conn, order_id).await?)))
        };
        let found = look_up(&api.pool, look).await?;
        let (order, history) = found.ok_or_else(|| not_found(order_id))?;
        let pending = matches!(order.stage, OrderStage::Pending { .. });
        if !pending || Instant::now() >= until {
            let applied =
                wait.map(|wait| [(PREFERENCE_APPLIED, format!("wait={}", wait.as_secs()))]);
            return Ok((applied, JsonBody(OrderWithHistory::new(order, history))).into_response());
        }
        tokio::time::sleep_until((Instant::now() + LOOK_AGAIN).min(until)).await;
    }
}

/// `Prefer: wait=N`, cut to the longest wait. Other preferences are ignored.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| {
            let (name, value) = preference.trim().split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            name.trim()
                .eq_ignore_ascii_case("wait")
                .then(|| Duration::from_secs(seconds).min(WAIT_MAX))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(prefer: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", prefer.parse().unwrap());
        preferred_wait(&headers).map(|duration| duration.as_secs())
    }

    #[test]
    fn a_wait_is_read_and_cut() {
        assert_eq!(wait("wait=3"), Some(3));
        assert_eq!(wait("respond-async, Wait=\"5\""), Some(5));
        assert_eq!(wait("wait=3600"), Some(8));
        for other in ["", "wait", "wait=", "wait=-1", "wait=soon", "return=minimal"] {
            assert_eq!(wait(other), None, "{other}");
        }
    }
}
