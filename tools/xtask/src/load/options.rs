//! How much load, of which kind, and where the results go.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::source::StackSource;

/// Clients of a closed loop, where nothing is said.
const CLIENTS: usize = 32;

/// Requests of an open loop that may be unanswered at once, where nothing is said.
const UNANSWERED_MAX: usize = 512;

/// How much load.
///
/// Closed loop: a number of clients, each of which goes on when it is answered (or, with `--wait end`, when
/// its order has ended). Open loop: `--rate` orders a second, whatever the answers.
///
/// The ends of orders and the mails are learnt from the topics. Costs are read once before the orders that
/// count and once after them: processor time and memory from the kernel, the rest from Postgres' own
/// counters. The audit comes last; the numbers of a run whose audit is not green do not count.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// Number of orders that count.
    #[arg(long, default_value_t = 2_000)]
    pub orders: u64,
    /// Number of orders before those, which do not count. All of them end first.
    #[arg(long, default_value_t = 0)]
    pub warm_up: u64,
    /// Number of clients that place orders concurrently (default: 32). With `--rate`: requests that may be
    /// unanswered at once (default: 512); one that is due meanwhile waits, and its latency counts that.
    #[arg(long)]
    pub clients: Option<usize>,
    /// What a client waits for before it places its next order.
    #[arg(long, value_enum, default_value_t, conflicts_with = "rate")]
    pub wait: WaitFor,
    /// Orders a second, at equal distances. Latencies then count from when a request was due.
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Number of products to choose from.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=9_999))]
    pub products: u32,
    /// Percentage of orders that want one and the same product.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub hot_product: u32,
    /// Percentage of requests that are sent a second time under the same key. The second answer has to be
    /// the first one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub repeats: u32,
    /// Fails when no order has ended for this many seconds.
    #[arg(long, default_value_t = 600)]
    pub limit_seconds: u64,
    /// Runs the same load with every batch limit 1, too, in turn, three times each, and prints the ratio.
    #[arg(long, conflicts_with_all = ["at", "tables", "json", "hdr", "svg"])]
    pub controls: bool,
    /// Prints size and dead rows of every table, before and after.
    #[arg(long, conflicts_with = "at")]
    pub tables: bool,
    /// Writes the result as JSON into this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes latencies as HDR histogram logs into this folder, an interval for each second.
    #[arg(long, value_name = "FOLDER")]
    pub hdr: Option<PathBuf>,
    /// Draws latency over time, the distribution of latencies, and processor time into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub svg: Option<PathBuf>,
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    pub from: StackSource,
    /// Base URL of an order service that is already running, or `found`: that of the running demo, or else
    /// of the compose stack. Nothing is started then, and costs are not known.
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,
    /// With `--at URL`: base URL of its inventory service.
    #[arg(long, value_name = "URL", requires = "at")]
    pub inventory: Option<String>,
    /// With `--at URL`: `host:port` of its broker.
    #[arg(long, requires = "at")]
    pub brokers: Option<String>,
    /// With `--at URL`: what stands before the names of its topics.
    #[arg(long, requires = "at")]
    pub prefix: Option<String>,
}

/// What a client of a closed loop waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitFor {
    /// The answer to its request.
    #[default]
    Answer,
    /// That its order is confirmed or cancelled.
    End,
}

/// The options as a command line of their own.
#[derive(Debug, Parser)]
struct OptionsAlone {
    #[command(flatten)]
    options: LoadOptions,
}

impl Default for LoadOptions {
    /// What holds where nothing is said on the command line.
    fn default() -> Self {
        OptionsAlone::parse_from(["load"]).options
    }
}

impl LoadOptions {
    /// Requests that may be unanswered at once.
    pub fn unanswered_max(&self) -> usize {
        let usual = if self.rate.is_some() { UNANSWERED_MAX } else { CLIENTS };
        self.clients.unwrap_or(usual).max(1)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "not a number of orders a second".to_owned())
}
