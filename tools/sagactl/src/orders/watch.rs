//! Follows an order until it has ended.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    client::{OrderClient, OrderLook, ShownOrder},
    render,
};
use crate::{
    invocation,
    screen::{complain, say},
    service_client::UnansweredCall,
};

/// The service answers after so long, or once the order has ended: entries are shown no later.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks, where the service answers at once because too many wait already.
const PAUSE: Duration = Duration::from_millis(200);

/// Between two looks, where the service is busy or away, at most.
const AWAY_PAUSE_MAX: Duration = Duration::from_secs(5);

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
    let (mut last, mut is_away) = (None, false);
    loop {
        let left = limit.saturating_sub(began.elapsed());
        let order = match seen(orders, id, LOOK.min(left)).await {
            Ok(order) => order,
            // A service that restarts is no reason to lose sight of an order that was seen.
            Err(LookFailure::Passing { pause, error }) => {
                if left.is_zero() {
                    return last.ok_or(error);
                }
                if last.is_none() && error.is::<UnansweredCall>() {
                    return Err(error);
                }
                if !is_away {
                    complain(format_args!("  {error:#}; it is asked again"));
                    is_away = true;
                }
                tokio::time::sleep(pause.min(AWAY_PAUSE_MAX).min(left)).await;
                continue;
            }
            Err(LookFailure::Final(error)) => return Err(error),
        };
        is_away = false;
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
            complain(format_args!("  still pending after {waited} s (gives up after {limit} s)"));
            news = Instant::now();
        }
        last = Some(order);
        tokio::time::sleep(PAUSE.min(left)).await;
    }
}

/// Why a look at an order showed nothing.
enum LookFailure {
    /// The service is busy or away: to be asked again after this pause.
    Passing {
        pause: Duration,
        error: anyhow::Error,
    },
    Final(anyhow::Error),
}

/// The order as it stands, or why it was not seen.
async fn seen(orders: &OrderClient, id: Uuid, wait: Duration) -> Result<ShownOrder, LookFailure> {
    match orders.look(id, wait).await {
        Ok(OrderLook::Seen(order)) => Ok(order),
        Ok(OrderLook::Unknown) => Err(LookFailure::Final(unknown(id))),
        Ok(OrderLook::Busy(pause)) => {
            let error = anyhow::Error::msg("order-service is busy");
            Err(LookFailure::Passing { pause, error })
        }
        Err(error) if error.is::<UnansweredCall>() => {
            Err(LookFailure::Passing { pause: LOOK, error })
        }
        Err(error) => Err(LookFailure::Final(error)),
    }
}

/// There is no such order, and what to do.
pub(super) fn unknown(id: Uuid) -> anyhow::Error {
    let list = invocation::command("orders list");
    anyhow::Error::msg(format!("there is no order {id}: `{list}` lists the newest"))
}
