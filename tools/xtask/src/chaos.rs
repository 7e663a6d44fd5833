//! `xtask chaos`: places orders, injects failures, and checks that every invariant holds.
//!
//! ```text
//! cargo run --release --bin xtask -- chaos --orders 10000 --outage-seconds 60 --fault-percent 20
//! ```
//!
//! The gateway refuses calls, answers late, and executes calls whose answer it loses. Each
//! service and the gateway are killed (`kill -9`) and started again, and the broker is killed and
//! stays down for a while. Each failure begins when a certain share of the orders has ended, so
//! that it happens in the middle of work, however fast the machine is.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use devstack::{ServerStack, StackPart, StopMode, WaitLimit};
use nix::sys::signal::Signal;
use sagactl::{
    http_client::http_client,
    screen::{ProgressBoard, say},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    client,
    cluster::{self, ProcessName, ServiceCluster},
    load::{
        self, OrderMix, open_work,
        placing::{FailurePolicy, LoadClient},
        report_table,
        tracker::OrderTracker,
    },
    source::StackSource,
};

/// How much goes wrong.
#[derive(Clone, Debug, Args)]
pub struct ChaosOptions {
    /// Number of orders to place.
    #[arg(long, default_value_t = 10_000)]
    pub orders: u64,
    /// Number of clients that place orders concurrently.
    #[arg(long, default_value_t = 32)]
    pub clients: usize,
    /// Number of products to choose from.
    #[arg(long, default_value_t = 100)]
    pub products: u32,
    /// Duration of the broker's outage, in seconds.
    #[arg(long, default_value_t = 60)]
    pub outage_seconds: u64,
    /// Percentage of gateway calls with an injected fault.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub fault_percent: u32,
    /// Fails when no order has ended for this many seconds.
    #[arg(long, default_value_t = 1_800)]
    pub limit_seconds: u64,
}

/// The injected failures, each with the percentage of ended orders at which it begins.
const STRIKES: [(u64, InjectedFailure); 6] = [
    (5, InjectedFailure::Kill(ProcessName::Inventory)),
    (15, InjectedFailure::Kill(ProcessName::Payments)),
    (30, InjectedFailure::Outage),
    (50, InjectedFailure::Kill(ProcessName::Orders)),
    (65, InjectedFailure::Kill(ProcessName::Notify)),
    (80, InjectedFailure::Kill(ProcessName::Gateway)),
];

#[derive(Clone, Copy, Debug)]
enum InjectedFailure {
    Kill(ProcessName),
    Outage,
}

impl InjectedFailure {
    /// Injects the failure, waits until it is over, and describes it.
    async fn strike(
        self,
        cluster: &mut ServiceCluster,
        stack: &ServerStack,
        options: &ChaosOptions,
    ) -> anyhow::Result<String> {
        let began = Instant::now();
        match self {
            Self::Kill(member) => {
                cluster.end(member, Signal::SIGKILL).await?;
                cluster.restart(member).await?;
                if member == ProcessName::Gateway {
                    // A gateway that starts is a healthy one.
                    break_gateway(&cluster.url(member), options).await?;
                }
                let after = began.elapsed().as_secs_f64();
                Ok(format!("kill -9 {member}, ready again after {after:.1} s"))
            }
            Self::Outage => {
                stack.stop_part(StackPart::Kafka, StopMode::Kill).await?;
                tokio::time::sleep(Duration::from_secs(options.outage_seconds)).await;
                stack.start_part(StackPart::Kafka).await?;
                let accepted = open_work::accepted(cluster).await?;
                let after = began.elapsed().as_secs_f64();
                Ok(format!(
                    "kill -9 of the broker, back after {after:.1} s; {accepted} orders were accepted"
                ))
            }
        }
    }
}

/// How often the orders that have ended are counted.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Starts everything, injects the failures, and prints a report.
pub async fn run(options: ChaosOptions) -> anyhow::Result<ExitCode> {
    // The broker is to be stopped, so it has to be ours.
    let (stack, mut cluster) = cluster::with_stack(StackSource::Native, options.products).await?;
    let report = drive(&mut cluster, &stack, &options, &ProgressBoard::new()).await?;
    report.print();
    let well = load::ends_well(stack, cluster).await? && report.doubled() == 0;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The outcome of a run, and the gateway's summary of it.
#[derive(Debug)]
pub struct ChaosReport {
    strikes: Vec<(Duration, String)>,
    outcomes: BTreeMap<String, u64>,
    /// The gateway's own summary.
    gateway: Value,
}

impl ChaosReport {
    /// Orders for which the gateway took money twice and did not give it back.
    pub fn doubled(&self) -> u64 {
        self.gateway["duplicates"]["count"].as_u64().unwrap_or(u64::MAX)
    }

    /// Calls that the gateway noted.
    pub fn attempts(&self) -> u64 {
        self.gateway["attempts"].as_u64().unwrap_or_default()
    }

    fn print(&self) {
        say("\nInjected failures");
        for (at, what) in &self.strikes {
            say(format_args!("  {:>6.1} s  {what}", at.as_secs_f64()));
        }
        report_table::print_outcomes(&self.outcomes);
        say("\nThe gateway's own account");
        for name in ["attempts", "charges", "declined", "refunds", "orders"] {
            say(format_args!("  {:>8}  {name}", self.gateway[name]));
        }
        say(format_args!("  {:>8}  orders charged twice", self.doubled()));
    }
}

/// Places orders and injects failures; ends when all orders have ended and the gateway is healthy.
pub async fn drive(
    cluster: &mut ServiceCluster,
    stack: &ServerStack,
    options: &ChaosOptions,
    board: &ProgressBoard,
) -> anyhow::Result<ChaosReport> {
    open_work::catalogue_known(cluster).await?;
    let gateway = cluster.url(ProcessName::Gateway);
    break_gateway(&gateway, options).await?;
    let bar = board.count("placed", options.orders);
    let client = clients(&cluster.url(ProcessName::Orders), options)?;
    let placing = async {
        client.place_all(0..options.orders, &bar).await?;
        bar.finish();
        anyhow::Ok(())
    };
    let ended = board.count("ended", options.orders);
    let striking = strike_all(cluster, stack, options, &ended);
    let ((), strikes) = tokio::try_join!(placing, striking)?;
    open_work::wait_for_ends(cluster, Duration::from_secs(options.limit_seconds), |open| {
        ended.set_position(options.orders.saturating_sub(open.orders));
    })
    .await?;
    ended.finish();
    let http = http_client()?;
    http.delete(format!("{gateway}/faults")).send().await?.error_for_status()?;
    let gateway = http.get(format!("{gateway}/summary")).send().await?.json().await?;
    Ok(ChaosReport { strikes, outcomes: open_work::outcomes(cluster).await?, gateway })
}

/// The clients of a load, who ask again and again while something is broken.
fn clients(url: &str, options: &ChaosOptions) -> anyhow::Result<LoadClient> {
    let load = load::LoadOptions {
        orders: options.orders,
        clients: Some(options.clients),
        products: options.products,
        ..load::LoadOptions::default()
    };
    Ok(LoadClient {
        orders: client::OrderClient::at(http_client()?, url),
        mix: Arc::new(OrderMix::of(&load)),
        options: Arc::new(load),
        tracker: OrderTracker::default(),
        failures: FailurePolicy::Endless,
    })
}

/// A fifth of the faults each: refused with an answer, refused without one; executed, and then an
/// error or no answer at all for the rest. Every call takes a while.
async fn break_gateway(gateway: &str, options: &ChaosOptions) -> anyhow::Result<()> {
    let each = f64::from(options.fault_percent) / 100.0 / 5.0;
    let faults = json!({
        "refuse_rate": 1.5 * each,
        "drop_before_rate": each / 2.0,
        "error_after_rate": 1.5 * each,
        "drop_after_rate": 1.5 * each,
        "delay_ms": { "min": 0, "max": 40 },
        "seed": 7,
    });
    let put = http_client()?.put(format!("{gateway}/faults")).json(&faults);
    put.send().await?.error_for_status().context("the gateway refuses to be broken")?;
    Ok(())
}

async fn strike_all(
    cluster: &mut ServiceCluster,
    stack: &ServerStack,
    options: &ChaosOptions,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<Vec<(Duration, String)>> {
    let began = Instant::now();
    let still_max = Duration::from_secs(options.limit_seconds);
    let mut struck = Vec::new();
    for (percent, strike) in STRIKES {
        let mut limit = WaitLimit::new(format!("it is time for {strike:?}"), still_max, LOOK_AGAIN);
        loop {
            let ended = open_work::ended(cluster).await?;
            bar.set_position(ended);
            if ended * 100 >= options.orders * percent {
                break;
            }
            limit.look_again(ended).await?;
        }
        let at = began.elapsed();
        let what = strike.strike(cluster, stack, options).await?;
        bar.println(format!("  {:>6.1} s  {what}", at.as_secs_f64()));
        struck.push((at, what));
    }
    Ok(struck)
}
