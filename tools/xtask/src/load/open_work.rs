//! What has not ended yet, counted in the databases of a cluster: for runs that break things, for tests, and
//! once after a load. Never while a load is measured, which it would slow down.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use devstack::WaitLimit;
use sqlx::{Connection as _, PgConnection};

use crate::cluster::{ProcessName, ServiceCluster};

/// The catalogue comes to the order service; nothing of it may take longer than this.
const CATALOGUE_LIMIT: Duration = Duration::from_mins(2);

/// How often the catalogue is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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

/// How many orders have ended in each way.
pub async fn outcomes(cluster: &ServiceCluster) -> anyhow::Result<BTreeMap<String, u64>> {
    let url = cluster.database(ProcessName::Orders).context("no database")?;
    let mut conn = PgConnection::connect(url).await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT concat_ws(', ', stage, reason), count(*)
         FROM orders WHERE stage <> 'pending' GROUP BY 1",
    )
    .fetch_all(&mut conn)
    .await?;
    conn.close().await?;
    let counted = rows.into_iter().map(|(end, n)| Ok((end, u64::try_from(n)?)));
    counted.collect()
}
