//! A load on services that run elsewhere, through their public API only.

use std::{process::ExitCode, time::Duration};

use devstack::WaitLimit;
use sagactl::{
    http_client::http_client,
    screen::{ProgressBoard, say},
};
use tokio::time::Instant;

use super::{FailurePolicy, LoadOptions, place_all, report};
use crate::client::{self, OrderClient};

/// The catalogue may take this long to reach the order service.
const CATALOGUE_LIMIT: Duration = Duration::from_secs(90);

/// How often the service is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Places the load, waits until no order is pending, says how long it took.
pub(super) async fn run(at: &str, options: &LoadOptions) -> anyhow::Result<ExitCode> {
    let orders = OrderClient::at(http_client()?, at);
    let products = (options.products as usize).min(client::PAGE_MAX);
    until("the products are known", CATALOGUE_LIMIT, async || {
        orders.knows_products(products).await
    })
    .await?;
    let (board, began) = (ProgressBoard::new(), Instant::now());
    let bar = board.count("placed", options.orders);
    let posts = place_all(&orders, options, FailurePolicy::None, &bar).await?;
    bar.finish();
    let accepted = report::rate(posts.latency_us.len(), began.elapsed());
    let limit = Duration::from_secs(options.limit_seconds);
    until("no order is pending", limit, async || Ok(!orders.any_pending().await?)).await?;
    say(format_args!("{} orders accepted, {accepted:.0} a second", posts.latency_us.len()));
    report::latency("POST to 202", &posts.latency_us, "");
    say(format_args!("no order is pending {:.1} s after the first", began.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

async fn until(
    what: &str,
    limit: Duration,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut limit = WaitLimit::new(what, limit, LOOK_AGAIN);
    while !holds().await? {
        limit.look_again("not yet").await?;
    }
    Ok(())
}
