//! The report of a load: rates, latencies, costs.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use devstack::WaitLimit;
use hdrhistogram::Histogram;
use sagactl::screen::say;
use sqlx::{Connection as _, PgConnection};

use super::resource_usage::ResourceUsage;
use crate::cluster::{ProcessName, ServiceCluster};

/// The catalogue comes to the order service; nothing of it may take longer than this.
const CATALOGUE_LIMIT: Duration = Duration::from_mins(2);

/// How often the catalogue is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The longest time that a histogram can hold, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// How POSTs were answered.
#[derive(Clone, Debug)]
pub struct PostTimes {
    /// Microseconds until the 202.
    pub latency_us: Histogram<u64>,
    /// Answers that said to come back later.
    pub busy: u64,
}

impl PostTimes {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { latency_us: histogram()?, busy: 0 })
    }

    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
        self.latency_us.saturating_record(micros);
    }

    /// Those of another client.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.busy += other.busy;
        self.latency_us.add(&other.latency_us).context("histograms differ")
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).context("no histogram")
}

/// Orders, messages and jobs that have not ended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWork {
    /// Orders that are pending.
    pub orders: u64,
    /// Messages in outboxes, jobs, payments and notices that have not ended.
    pub work: u64,
}

impl OpenWork {
    /// Whether all has ended.
    pub fn is_nothing(self) -> bool {
        self.orders == 0 && self.work == 0
    }
}

/// Counts what has not ended yet.
pub async fn open(cluster: &ServiceCluster) -> anyhow::Result<OpenWork> {
    let pending =
        count(cluster, ProcessName::Orders, "SELECT count(*) FROM orders WHERE stage = 'pending'");
    let mut open = OpenWork { orders: pending.await?, work: 0 };
    if open.orders > 0 {
        return Ok(open);
    }
    // Orders that have ended, and the last mail of each: nothing may be on its way any more.
    let ended = count(cluster, ProcessName::Orders, "SELECT count(*) FROM orders").await?;
    let told = count(
        cluster,
        ProcessName::Notify,
        "SELECT count(DISTINCT order_id) FROM notices WHERE stage IN ('sent', 'failed')",
    );
    open.work += ended.saturating_sub(told.await?);
    for member in ProcessName::SERVICES {
        let waiting = "SELECT (SELECT count(*) FROM messaging.outbox)
                            + (SELECT count(*) FROM messaging.job)";
        open.work += count(cluster, member, waiting).await?;
    }
    let refunds = "SELECT count(*) FROM payments
                   WHERE stage IN ('charging', 'cancelling', 'unresolved', 'refunding')";
    open.work += count(cluster, ProcessName::Payments, refunds).await?;
    let reserved = "SELECT count(*) FROM products WHERE reserved > 0";
    open.work += count(cluster, ProcessName::Inventory, reserved).await?;
    Ok(open)
}

/// How often open work is counted.
const COUNT_AGAIN: Duration = Duration::from_millis(250);

/// Waits until no order is open and no message, job or notice waits; tells each count to `show`.
pub async fn wait_for_ends(
    cluster: &ServiceCluster,
    still_max: Duration,
    show: impl Fn(OpenWork),
) -> anyhow::Result<()> {
    let mut limit = WaitLimit::new("everything ends", still_max, COUNT_AGAIN);
    loop {
        let open = open(cluster).await?;
        show(open);
        if open.is_nothing() {
            return Ok(());
        }
        limit.look_again(open).await?;
    }
}

/// Products of the demo's shop, which inventory-service adds before those of a load.
const DEMO_PRODUCTS: u64 = 8;

/// Waits until the order service knows every product of the inventory's.
pub async fn catalogue_known(cluster: &ServiceCluster) -> anyhow::Result<()> {
    let mut limit = WaitLimit::new("all products are known", CATALOGUE_LIMIT, LOOK_AGAIN);
    let products = "SELECT count(*) FROM products";
    loop {
        let seeded = count(cluster, ProcessName::Inventory, products).await?;
        let known = count(cluster, ProcessName::Orders, products).await?;
        if known >= seeded && known >= DEMO_PRODUCTS + u64::from(cluster.products()) {
            return Ok(());
        }
        limit.look_again((known, seeded)).await?;
    }
}

/// Counts the orders that have ended.
pub async fn ended(cluster: &ServiceCluster) -> anyhow::Result<u64> {
    count(cluster, ProcessName::Orders, "SELECT count(*) FROM orders WHERE stage <> 'pending'")
        .await
}

/// Counts the orders that were accepted.
pub async fn accepted(cluster: &ServiceCluster) -> anyhow::Result<u64> {
    count(cluster, ProcessName::Orders, "SELECT count(*) FROM orders").await
}

async fn count(
    cluster: &ServiceCluster,
    member: ProcessName,
    sql: &'static str,
) -> anyhow::Result<u64> {
    let url = cluster.database(member).context("no database")?;
    let mut conn = PgConnection::connect(url).await?;
    let n: i64 = sqlx::query_scalar(sql).fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(u64::try_from(n)?)
}

/// The results of a load.
#[derive(Debug)]
pub struct LoadReport {
    posts: PostTimes,
    placed: Duration,
    sagas: u64,
    /// From the first POST to the last end.
    whole: Duration,
    ends: BTreeMap<String, u64>,
    to_end_us: Histogram<u64>,
    spent: ResourceUsage,
}

/// Reads the orders and the processes' accounts.
pub async fn make(
    cluster: &ServiceCluster,
    posts: PostTimes,
    placed: Duration,
    spent: ResourceUsage,
) -> anyhow::Result<LoadReport> {
    let mut conn =
        PgConnection::connect(cluster.database(ProcessName::Orders).context("no database")?)
            .await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT concat_ws(', ', stage, reason),
                (extract(epoch FROM least(confirmed_at, cancelled_at) - placed_at) * 1e6)::int8
         FROM orders WHERE stage <> 'pending'",
    )
    .fetch_all(&mut conn)
    .await?;
    let whole: f64 = sqlx::query_scalar(
        "SELECT coalesce(extract(epoch FROM max(least(confirmed_at, cancelled_at)) - min(placed_at)), 0)::float8
         FROM orders",
    )
    .fetch_one(&mut conn)
    .await?;
    conn.close().await?;
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut to_end_us = histogram()?;
    for (end, micros) in rows {
        *ends.entry(end).or_default() += 1;
        to_end_us.saturating_record(u64::try_from(micros).unwrap_or_default());
    }
    let sagas = ends.values().sum();
    let whole = Duration::try_from_secs_f64(whole)?;
    Ok(LoadReport { posts, placed, sagas, whole, ends, to_end_us, spent })
}

impl LoadReport {
    /// Says how the orders ended.
    pub fn print_ends(&self) {
        say("\nOutcomes");
        for (end, n) in &self.ends {
            say(format_args!("  {n:>8}  {end}"));
        }
    }

    pub fn print(&self) {
        self.print_ends();
        say("\nThroughput and latency");
        say(format_args!(
            "  {:>8.0}  orders accepted per second ({} answers said to come back later)",
            rate(self.posts.latency_us.len(), self.placed),
            self.posts.busy
        ));
        say(format_args!(
            "  {:>8.0}  whole sagas per second (target 5000)",
            rate(self.sagas, self.whole)
        ));
        latency("POST to 202", &self.posts.latency_us, " (target: p99 below 10 ms)");
        latency("POST to the end", &self.to_end_us, "");
        self.print_processor_time();
        self.print_database_work();
    }

    fn print_processor_time(&self) {
        say("\nProcessor time per order, microseconds (target: 400 for all servers together)");
        let mut total = 0.0;
        for (name, spent) in self.spent.services.iter().chain(&self.spent.servers) {
            let per_order = spent.as_secs_f64() * 1e6 / self.orders();
            total += per_order;
            say(format_args!("  {per_order:>8.0}  {name}"));
        }
        say(format_args!("  {total:>8.0}  all together"));
    }

    fn print_database_work(&self) {
        say("\nDatabase work per order");
        for (what, by_member) in
            [("transactions", &self.spent.transactions), ("statements", &self.spent.statements)]
        {
            let each: Vec<String> = by_member
                .iter()
                .map(|(name, n)| format!("{name} {:.2}", self.per_order(*n)))
                .collect();
            let all = self.per_order(by_member.values().sum());
            say(format_args!("  {all:>8.2}  {what} ({})", each.join(", ")));
        }
    }

    fn orders(&self) -> f64 {
        count_as_float(self.sagas.max(1))
    }

    fn per_order(&self, n: i64) -> f64 {
        count_as_float(u64::try_from(n).unwrap_or_default()) / self.orders()
    }
}

pub(super) fn rate(n: u64, time: Duration) -> f64 {
    count_as_float(n) / time.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a load are far below 2^52")]
fn count_as_float(n: u64) -> f64 {
    n as f64
}

pub(super) fn latency(name: &str, micros: &Histogram<u64>, target: &str) {
    let ms = |us: u64| count_as_float(us) / 1e3;
    say(format_args!(
        "  {name}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms{target}",
        ms(micros.value_at_quantile(0.5)),
        ms(micros.value_at_quantile(0.99)),
        ms(micros.max())
    ));
}
