//! `xtask load`: places many orders, measures their cost, and checks that every invariant holds.
//!
//! ```text
//! cargo run --release --bin xtask -- load --orders 20000 --clients 64
//! ```
//!
//! Times from POST to the end are read from the order service's own rows afterwards, so that
//! measuring does not slow down the services.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Args;
use devstack::ServerStack;
use indicatif::ProgressBar;
use sagactl::{
    audit::{AuditOutcome, command::print},
    http_client::http_client,
    screen::{ProgressBoard, say},
};
use tokio::{task::JoinSet, time::Instant};

use self::{
    report::{LoadReport, PostTimes},
    resource_usage::ResourceUsage,
};
use crate::{
    client::{self, OrderClient, OrderWish, PlaceAnswer},
    cluster::{self, AuditExpectation, ProcessName, ServiceCluster},
    source::StackSource,
};

mod given_url;
pub mod report;
pub mod resource_usage;
pub mod tables;

/// How much load.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// Number of orders to place.
    #[arg(long, default_value_t = 2_000)]
    pub orders: u64,
    /// Number of clients that place orders concurrently.
    #[arg(long, default_value_t = 32)]
    pub clients: usize,
    /// Number of products to choose from.
    #[arg(long, default_value_t = 100)]
    pub products: u32,
    /// Fails when no order has ended for this many seconds.
    #[arg(long, default_value_t = 600)]
    pub limit_seconds: u64,
    /// Prints size and dead rows of every table, before and after.
    #[arg(long)]
    pub tables: bool,
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    pub from: StackSource,
    /// Base URL of an order service that is already running. Nothing is started then, and only its
    /// API is read.
    #[arg(long)]
    pub at: Option<String>,
}

/// The reaction of a client to a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It gives up: nothing was to fail.
    None,
    /// It asks again under the same key: the service may be on its way up.
    Endless,
}

/// The server looks for what is to be swept up once a minute.
const SWEPT_AFTER: Duration = Duration::from_secs(75);

/// Pause before a call is repeated that failed or was told to come back.
const CALL_AGAIN: Duration = Duration::from_millis(200);

/// Starts everything, places the load, prints what it cost.
pub async fn run(options: LoadOptions) -> anyhow::Result<ExitCode> {
    if let Some(at) = &options.at {
        return given_url::run(at, &options).await;
    }
    let (stack, cluster) = cluster::with_stack(options.from, options.products).await?;
    let before = if options.tables { Some(tables::read(&cluster).await?) } else { None };
    let report = drive(&cluster, Some(&stack), &options, &ProgressBoard::new()).await?;
    report.print();
    if let Some(before) = before {
        let after = tables::read(&cluster).await?;
        tokio::time::sleep(SWEPT_AFTER).await;
        tables::print(&before, &after, &tables::read(&cluster).await?);
    }
    let well = ends_well(stack, cluster).await?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks every invariant, and ends everything; whether all was as it should be.
pub(crate) async fn ends_well(stack: ServerStack, cluster: ServiceCluster) -> anyhow::Result<bool> {
    say("\nChecking every promise from outside");
    let audit = cluster.audit(AuditExpectation::default()).await?;
    print(&audit);
    let unwell = cluster.stop().await?;
    for complaint in &unwell {
        say(format_args!("  ✘ {complaint}"));
    }
    stack.stop().await;
    Ok(audit.outcome == AuditOutcome::Kept && unwell.is_empty())
}

/// Places the load and waits until every order and all work of it has ended.
pub async fn drive(
    cluster: &ServiceCluster,
    stack: Option<&ServerStack>,
    options: &LoadOptions,
    board: &ProgressBoard,
) -> anyhow::Result<LoadReport> {
    let orders = OrderClient::at(http_client()?, &cluster.url(ProcessName::Orders));
    report::catalogue_known(cluster).await?;
    let before = ResourceUsage::read(cluster, stack).await?;
    let began = Instant::now();
    let bar = board.count("placed", options.orders);
    let posts = place_all(&orders, options, FailurePolicy::None, &bar).await?;
    let placed = began.elapsed();
    bar.finish();
    let bar = board.count("ended", options.orders);
    report::wait_for_ends(cluster, Duration::from_secs(options.limit_seconds), |open| {
        bar.set_position(options.orders.saturating_sub(open.orders));
    })
    .await?;
    bar.finish();
    let spent = ResourceUsage::read(cluster, stack).await?.since(&before);
    report::make(cluster, posts, placed, spent).await
}

/// Places all orders of a load, by all its clients.
pub(crate) async fn place_all(
    orders: &OrderClient,
    options: &LoadOptions,
    patience: FailurePolicy,
    bar: &ProgressBar,
) -> anyhow::Result<PostTimes> {
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..options.clients {
        let (orders, next, bar, options) =
            (orders.clone(), Arc::clone(&next), bar.clone(), options.clone());
        clients.spawn(async move {
            let mut posts = PostTimes::new()?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= options.orders {
                    return anyhow::Ok(posts);
                }
                while let Err(error) = place(&orders, n, &options, &mut posts).await {
                    if patience == FailurePolicy::None {
                        return Err(error);
                    }
                    tokio::time::sleep(CALL_AGAIN).await;
                }
                bar.inc(1);
            }
        });
    }
    let mut posts = PostTimes::new()?;
    while let Some(done) = clients.join_next().await {
        posts.add(&done??)?;
    }
    Ok(posts)
}

/// Places the n-th order, again and again under its key while the service is busy.
async fn place(
    orders: &OrderClient,
    n: u64,
    options: &LoadOptions,
    posts: &mut PostTimes,
) -> anyhow::Result<()> {
    let wish = wish(n, options.products);
    let key = format!("load-{n}");
    loop {
        let began = Instant::now();
        match orders.place(&key, &wish).await? {
            PlaceAnswer::Accepted(order) => {
                posts.record(began.elapsed());
                if n % 20 == 3 {
                    orders.cancel(order.id).await?;
                }
                return Ok(());
            }
            PlaceAnswer::Busy(wait) => {
                posts.busy += 1;
                tokio::time::sleep(wait).await;
            }
            // Its own earlier attempt is still on its way.
            PlaceAnswer::Refused(_, problem) if client::is_busy(&problem) => {
                posts.busy += 1;
                tokio::time::sleep(CALL_AGAIN).await;
            }
            PlaceAnswer::Refused(status, problem) => anyhow::bail!("order {n}: {status} {problem}"),
        }
    }
}

/// Of twenty orders, one is declined, one is out of stock, one is cancelled, one wants two things.
pub(crate) fn wish(n: u64, products: u32) -> OrderWish {
    let sku = |n: u64| format!("load-{:04}", n % u64::from(products.max(1)) + 1);
    let mut lines = vec![(sku(n), 1)];
    match n % 20 {
        1 => lines = vec![("unobtainium".to_owned(), 1)],
        4 if products > 1 => lines.push((sku(n + 1), 2)),
        _others => (),
    }
    let card = if n % 20 == 2 { "tok_chargeDeclined" } else { "tok_visa" };
    OrderWish {
        lines,
        currency: "EUR".to_owned(),
        payment_method: card.to_owned(),
        email: format!("customer-{n}@example.org"),
    }
}
