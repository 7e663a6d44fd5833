//! A customer who keeps asking: orders are placed and cancelled within a limit, as long as it takes.
//!
//! The client itself is that of the operators' command line.

use std::time::Duration;

use devstack::WaitLimit;
use uuid::Uuid;

pub use sagactl::orders::client::{
    OrderClient, OrderWish, PAGE_MAX, PlaceAnswer, ShownOrder, is_busy,
};

/// Pause before a request that was told to come back is sent again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Has an order placed: told to come back, or without an answer, the customer asks again, for
/// as long as `still_max` is worth. The same `key` again is the same order.
pub async fn place_within(
    orders: &OrderClient,
    still_max: Duration,
    key: &str,
    wish: &OrderWish,
) -> anyhow::Result<ShownOrder> {
    let order = format!("order {key}");
    again(&order, "accepted", still_max, async || orders.place(key, wish).await).await
}

/// Has an order cancelled, in the same way.
pub async fn cancel_within(
    orders: &OrderClient,
    still_max: Duration,
    id: Uuid,
) -> anyhow::Result<()> {
    let order = format!("order {id}");
    again(&order, "cancelled", still_max, async || orders.cancel(id).await).await.map(drop)
}

async fn again(
    order: &str,
    deed: &str,
    still_max: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<PlaceAnswer>,
) -> anyhow::Result<ShownOrder> {
    let mut limit = WaitLimit::new(format!("{order} is {deed}"), still_max, LOOK_AGAIN);
    loop {
        let seen = match ask().await {
            Ok(PlaceAnswer::Accepted(order)) => return Ok(order),
            Ok(PlaceAnswer::Refused(status, problem)) if !is_busy(&problem) => {
                anyhow::bail!("{order} is not {deed}: {status} {problem}")
            }
            // No more than this: each problem has an id of its own.
            Ok(PlaceAnswer::Refused(..) | PlaceAnswer::Busy(_)) => "told to come back".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        limit.look_again(seen).await?;
    }
}
