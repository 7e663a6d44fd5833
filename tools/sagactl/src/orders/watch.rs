//! Follows an order until it has ended.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    client::{OrderClient, ShownOrder},
    render,
};
use crate::{
    invocation,
    screen::{complain, say},
};

/// The service answers after so long, or once the order has ended: entries are shown no later.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks, where the service answers at once because too many wait already.
const PAUSE: Duration = Duration::from_millis(200);

/// Without news for so long, it is said that the order is still waited for.
const STILL: Duration = Duration::from_secs(8);

/// Asks until the order has ended or the limit is over, and says each entry of its history when it
/// comes, if wanted. Answers the order as it was seen last.
pub(super) async fn follow(
    orders: &OrderClient,
    id: Uuid,
    limit: Duration,
    says_entries: bool,
) -> anyhow::Result<ShownOrder> {
    let (began, mut said, mut news) = (Instant::now(), HashSet::new(), Instant::now());
    loop {
        let left = limit.saturating_sub(began.elapsed());
        let order = orders.look(id, LOOK.min(left)).await?;
        let order = order.ok_or_else(|| unknown(id))?;
        for entry in &order.history {
            // An entry may come late and stand before others: its time is another service's.
            if says_entries && said.insert(render::entry(entry)) {
                say(render::entry(entry));
                news = Instant::now();
            }
        }
        if order.has_ended() || left.is_zero() {
            return Ok(order);
        }
        if news.elapsed() >= STILL {
            let (waited, limit) = (began.elapsed().as_secs(), limit.as_secs());
            complain(format_args!("  pending for {waited} s, at most {limit} s are waited"));
            news = Instant::now();
        }
        tokio::time::sleep(PAUSE.min(left)).await;
    }
}

/// There is no such order, and what to do.
pub(super) fn unknown(id: Uuid) -> anyhow::Error {
    let list = invocation::command("orders list");
    anyhow::Error::msg(format!("there is no order {id}: `{list}` lists the newest"))
}
