//! The result of a load: rates, latencies, costs per order; as data, which table, files and plots show.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    LoadOptions,
    options::WaitFor,
    order_times::{LatencyKind, OrderTimes, latencies},
    placing::AnswerCounts,
    resource_usage::{BrokerCounts, DatabaseCounts, OWN_NAME, ResourceUsage},
    tracker::OrderMoments,
    usage_samples::UsageSeries,
};

/// Everything that was seen of the orders that count.
#[derive(Debug)]
pub struct LoadMeasurement {
    /// When the first request that counts began, and the moments of its orders.
    pub began: Instant,
    pub orders: Vec<OrderMoments>,
    pub answers: AnswerCounts,
    /// What the servers have cost, where that is known.
    pub spent: Option<ResourceUsage>,
    pub usage: UsageSeries,
}

/// The result of a load.
#[derive(Debug, Serialize)]
pub struct LoadReport {
    pub settings: RunSettings,
    /// Whether the audit was green; not known before it was made.
    pub audit: AuditVerdict,
    pub outcomes: BTreeMap<String, u64>,
    pub rates: LoadRates,
    pub answers: AnswerCounts,
    pub latencies: BTreeMap<&'static str, LatencySummary>,
    pub costs: Option<OrderCosts>,
    pub usage: UsageSeries,
    /// The times of each order, by which histograms are made.
    #[serde(skip)]
    pub orders: Vec<OrderTimes>,
}

/// Whether the numbers of a run count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditVerdict {
    /// Nobody has checked the invariants.
    #[default]
    NotMade,
    Green,
    /// They do not count.
    NotGreen,
}

/// How the load was made.
#[derive(Clone, Debug, Serialize)]
pub struct RunSettings {
    pub run_id: String,
    pub orders: u64,
    pub warm_up: u64,
    pub clients: usize,
    pub rate: Option<f64>,
    pub wait: WaitFor,
    pub products: u32,
    pub hot_product_percent: u32,
    pub repeat_percent: u32,
}

/// How many orders there were in a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LoadRates {
    /// From the first POST to its last answer.
    pub accepted: f64,
    /// To the last confirmation or cancellation.
    pub ended: f64,
    /// To the last mail that was handed over: whole sagas.
    pub whole: f64,
    /// Seconds from the first POST to the last mail.
    pub seconds: f64,
}

/// A distribution of latencies, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencySummary {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What one order has cost.
#[derive(Clone, Debug, Serialize)]
pub struct OrderCosts {
    /// Microseconds of processor time of each server.
    pub cpu_us: BTreeMap<String, f64>,
    /// Of all servers together: this tool is none.
    pub cpu_us_all: f64,
    /// Without the mail server, which is not part of the system.
    pub cpu_us_without_mail: f64,
    /// Of this tool, which is not in the sums.
    pub cpu_us_own: f64,
    /// Bytes, for all orders together.
    pub peak_memory: BTreeMap<String, u64>,
    /// By the database of each service.
    pub databases: BTreeMap<String, DatabaseCosts>,
    /// Of the whole database server.
    pub wal_bytes: f64,
    pub writing_transactions: f64,
    pub broker: Option<BrokerCosts>,
}

/// What one order has cost one database.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DatabaseCosts {
    pub transactions: f64,
    pub statements: f64,
    pub wal_bytes: f64,
    pub buffers: f64,
}

/// What one order has cost the broker. Calls are the kernel's: a request is read by two or more of them and
/// answered by one; what is written to the log is in it, too.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BrokerCosts {
    pub messages: f64,
    pub bytes_read: f64,
    pub bytes_written: f64,
    pub read_calls: f64,
    pub write_calls: f64,
}

impl LoadReport {
    /// The result of what was measured.
    pub fn of(
        options: &LoadOptions,
        run_id: &str,
        measured: LoadMeasurement,
    ) -> anyhow::Result<Self> {
        let LoadMeasurement { began, orders: moments, answers, spent, usage } = measured;
        let mut outcomes = BTreeMap::new();
        for order in &moments {
            *outcomes.entry(order.outcome()).or_default() += 1;
        }
        let orders: Vec<_> =
            moments.iter().filter_map(|order| OrderTimes::of(order, began)).collect();
        let mut summaries = BTreeMap::new();
        for kind in LatencyKind::ALL {
            summaries.insert(kind.tag(), LatencySummary::of(&latencies(&orders, kind)?));
        }
        let n = orders.len() as u64;
        Ok(Self {
            settings: RunSettings::of(options, run_id),
            audit: AuditVerdict::default(),
            outcomes,
            rates: LoadRates::of(&orders),
            answers,
            latencies: summaries,
            costs: spent.map(|spent| OrderCosts::of(&spent, n)),
            usage,
            orders,
        })
    }

    /// A distribution of latencies.
    pub fn latency(&self, kind: LatencyKind) -> LatencySummary {
        self.latencies[kind.tag()]
    }
}

impl RunSettings {
    fn of(options: &LoadOptions, run_id: &str) -> Self {
        Self {
            run_id: run_id.to_owned(),
            orders: options.orders,
            warm_up: options.warm_up,
            clients: options.unanswered_max(),
            rate: options.rate,
            wait: options.wait,
            products: options.products,
            hot_product_percent: options.hot_product,
            repeat_percent: options.repeats,
        }
    }
}

impl LoadRates {
    fn of(orders: &[OrderTimes]) -> Self {
        let first = orders.iter().map(|order| order.since).min().unwrap_or_default();
        let time = |at: &dyn Fn(&OrderTimes) -> Option<u64>| {
            let last = orders.iter().filter_map(at).max().unwrap_or(first);
            Duration::from_micros(last.saturating_sub(first))
        };
        let n = orders.len() as u64;
        let whole = time(&|order| order.notified.or_else(|| order.ended()));
        Self {
            accepted: rate(n, time(&|order| Some(order.answered))),
            ended: rate(n, time(&OrderTimes::ended)),
            whole: rate(n, whole),
            seconds: whole.as_secs_f64(),
        }
    }
}

impl LatencySummary {
    fn of(micros: &Histogram<u64>) -> Self {
        let ms = |us: u64| as_float(us) / 1e3;
        let at = |quantile| ms(micros.value_at_quantile(quantile));
        Self {
            count: micros.len(),
            mean: micros.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(micros.max()),
        }
    }
}

impl OrderCosts {
    fn of(spent: &ResourceUsage, orders: u64) -> Self {
        let orders = as_float(orders.max(1));
        let mut cpu_us: BTreeMap<_, _> =
            spent.cpu_us.iter().map(|(name, us)| (name.clone(), as_float(*us) / orders)).collect();
        let own = cpu_us.remove(OWN_NAME).unwrap_or_default();
        let all = cpu_us.values().sum();
        let mail = cpu_us.get(&devstack::StackPart::Mail.to_string()).copied().unwrap_or_default();
        let databases = spent.databases.iter();
        Self {
            cpu_us_all: all,
            cpu_us_without_mail: all - mail,
            cpu_us_own: own,
            cpu_us,
            peak_memory: spent.peak_memory.clone(),
            databases: databases
                .map(|(name, counts)| (name.clone(), DatabaseCosts::of(*counts, orders)))
                .collect(),
            wal_bytes: signed(spent.wal_bytes) / orders,
            writing_transactions: signed(spent.writing_transactions) / orders,
            broker: spent.broker.map(|counts| BrokerCosts::of(counts, orders)),
        }
    }
}

impl DatabaseCosts {
    fn of(counts: DatabaseCounts, orders: f64) -> Self {
        Self {
            transactions: signed(counts.transactions) / orders,
            statements: signed(counts.statements) / orders,
            wal_bytes: signed(counts.wal_bytes) / orders,
            buffers: signed(counts.buffers) / orders,
        }
    }
}

impl BrokerCosts {
    fn of(counts: BrokerCounts, orders: f64) -> Self {
        Self {
            messages: as_float(counts.messages) / orders,
            bytes_read: as_float(counts.io.bytes_read) / orders,
            bytes_written: as_float(counts.io.bytes_written) / orders,
            read_calls: as_float(counts.io.read_calls) / orders,
            write_calls: as_float(counts.io.write_calls) / orders,
        }
    }
}

fn rate(n: u64, time: Duration) -> f64 {
    as_float(n) / time.as_secs_f64().max(1e-9)
}

fn signed(n: i64) -> f64 {
    as_float(u64::try_from(n).unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a load are far below 2^52")]
pub fn as_float(n: u64) -> f64 {
    n as f64
}
