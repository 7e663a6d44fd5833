//! What an order costs, in counts: the same program twice gives the same numbers, whatever else the
//! machine does.

use std::{array, fmt};

use crate::{
    saga::{OneProcessSaga, RunTotals, SERVICES},
    saga_setup::SagaSettings,
    server_counters::{ServerCounter, ServerCounts, StatementCost},
};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSize {
    /// Orders that are placed before anything is counted: connections, prepared statements.
    pub before: u64,
    /// Orders that are counted.
    pub orders: u64,
    /// Commands, messages, jobs and published messages in one transaction, at most.
    pub batch: usize,
}

/// What an order costs one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OrderCost {
    /// Statements, `BEGIN` and `COMMIT` included.
    pub statements: f64,
    /// Transactions that wrote: ended by `COMMIT`, and single statements of relay and workers.
    pub transactions: f64,
    /// Pages that were looked at.
    pub buffers: f64,
    /// Bytes that were written to the WAL.
    pub wal_bytes: f64,
    /// Batches that its relay published.
    pub batches: f64,
}

impl OrderCost {
    /// The names of the counts, in the order of [`Self::counts`].
    pub const NAMES: [&str; 5] = ["statements", "transactions", "buffers", "WAL bytes", "batches"];

    /// All counts, in the order of their names.
    pub fn counts(&self) -> [f64; 5] {
        [self.statements, self.transactions, self.buffers, self.wal_bytes, self.batches]
    }
}

/// The result of one measurement.
#[derive(Clone, Debug)]
pub struct SagaCost {
    /// What an order costs each service, in the order of [`SERVICES`].
    pub services: [OrderCost; 4],
    pub totals: RunTotals,
    /// Every statement, the most expensive first.
    pub statements: Vec<StatementCost>,
    /// Something else was counted, too: whole pages after a checkpoint, or statements that the
    /// server had no room for.
    pub is_disturbed: bool,
}

/// Measures in four new databases of a server that counts statements.
pub async fn measure(
    server_url: &str,
    registry: (&str, &str),
    size: RunSize,
) -> anyhow::Result<SagaCost> {
    let mut counter = ServerCounter::connect(server_url).await?;
    let settings = prepare(&mut counter, server_url, registry, size.batch).await?;
    let mut saga = Box::pin(OneProcessSaga::start(&settings)).await?;
    Box::pin(saga.run(size.before)).await?;
    let forgotten = counter.forgotten().await?;
    for url in &settings.databases {
        counter.reset(url).await?;
    }
    let totals = Box::pin(saga.run(size.orders)).await?;
    let counts = read(&mut counter, &settings).await?;
    let statements = counter.statements(&settings.databases).await?;
    let mut is_disturbed = counter.forgotten().await? != forgotten;
    saga.close().await;
    let services = array::from_fn(|place| {
        is_disturbed |= counts[place].wal_pages != 0;
        cost(counts[place], &totals, place)
    });
    Ok(SagaCost { services, totals, statements, is_disturbed })
}

/// Four new databases, and how a run uses them.
pub async fn prepare(
    counter: &mut ServerCounter,
    server_url: &str,
    (registry_url, prefix): (&str, &str),
    batch: usize,
) -> anyhow::Result<SagaSettings> {
    let mut databases: [String; 4] = array::from_fn(|_| String::new());
    for (url, service) in databases.iter_mut().zip(SERVICES) {
        *url = counter.create(server_url, &format!("{prefix}{service}")).await?;
    }
    let (registry_url, prefix) = (registry_url.to_owned(), prefix.to_owned());
    Ok(SagaSettings { databases, registry_url, prefix, batch })
}

async fn read(
    counter: &mut ServerCounter,
    settings: &SagaSettings,
) -> Result<[ServerCounts; 4], sqlx::Error> {
    let mut counts = [ServerCounts::default(); 4];
    for (count, url) in counts.iter_mut().zip(&settings.databases) {
        *count = counter.read(url).await?;
    }
    Ok(counts)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few hundred orders")]
fn cost(counts: ServerCounts, totals: &RunTotals, place: usize) -> OrderCost {
    let per_order = |count: i64| count as f64 / totals.orders.max(1) as f64;
    let batches = totals.published[place].batches;
    OrderCost {
        statements: per_order(counts.statements),
        transactions: per_order(counts.commits + batches.cast_signed()),
        buffers: per_order(counts.buffers),
        wal_bytes: per_order(counts.wal_bytes),
        batches: per_order(batches.cast_signed()),
    }
}

impl fmt::Display for SagaCost {
    /// As the table of the test that holds these numbers has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (service, cost) in SERVICES.iter().zip(&self.services) {
            let name = format!("\"{service}\",");
            let [statements, transactions, buffers, wal_bytes, batches] = cost.counts();
            writeln!(
                f,
                "    ({name} [{statements:.3}, {transactions:.3}, {buffers:.1}, {wal_bytes:.1}, {batches:.3}]),"
            )?;
        }
        Ok(())
    }
}
