//! Controls: the same load, in turn with a system or a program that leaves something out, three times each.
//! Each row of [`CONTROLS`] is a plain function that gives the same few numbers.

use std::process::ExitCode;

use devstack::{ServerStack, WantedParts};
use futures_util::future::LocalBoxFuture;
use sagactl::screen::{ProgressBoard, say};

use super::{LoadOptions, drive, is_kept, order_times::LatencyKind};
use crate::{
    cargo,
    cluster::{ClusterOptions, ServiceCluster},
    stack_progress::StackProgress,
};

/// How often each is measured.
const ROUNDS: usize = 3;

/// The setting of every service that limits all of its batches.
const BATCH_MAX: &str = "BATCH_MAX";

/// The row with which the others are compared: the first.
const CONTROLS: [ControlRow; 2] = [
    ControlRow { name: "as it is", measure: |stage| Box::pin(as_it_is(stage)) },
    ControlRow { name: "every batch limit 1", measure: |stage| Box::pin(batches_of_one(stage)) },
];

/// A name, and the function that measures.
struct ControlRow {
    name: &'static str,
    measure: for<'s> fn(&'s ControlStage<'s>) -> LocalBoxFuture<'s, anyhow::Result<ControlNumbers>>,
}

/// The servers on which everything is measured, and one measurement's name there.
struct ControlStage<'s> {
    stack: &'s ServerStack,
    options: &'s LoadOptions,
    prefix: String,
}

/// The numbers by which rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ControlNumbers {
    /// Whole sagas a second.
    pub orders_per_second: f64,
    /// Processor time of all servers for an order.
    pub cpu_us: f64,
    /// From the POST to the confirmation.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Whether the numbers count.
    pub is_green: bool,
}

/// Measures all rows in turn and compares them.
pub(super) async fn run(options: &LoadOptions) -> anyhow::Result<ExitCode> {
    cargo::build_services().await?;
    let board = ProgressBoard::new();
    let progress = StackProgress(&board);
    let stack = ServerStack::start(options.from.source(), WantedParts::all(), &progress).await?;
    let mut measured: Vec<Vec<ControlNumbers>> = vec![vec![]; CONTROLS.len()];
    for round in 1..=ROUNDS {
        for (n, row) in CONTROLS.iter().enumerate() {
            say(format_args!("\nRound {round} of {ROUNDS}: {}", row.name));
            let prefix = format!("control{n}round{round}-");
            let stage = ControlStage { stack: &stack, options, prefix };
            measured[n].push((row.measure)(&stage).await?);
        }
    }
    stack.stop().await;
    print(&measured);
    let is_green = measured.iter().flatten().all(|numbers| numbers.is_green);
    if !is_green {
        say("\n✘ AN AUDIT IS NOT GREEN: THESE NUMBERS DO NOT COUNT.");
    }
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The system with its usual settings.
async fn as_it_is(stage: &ControlStage<'_>) -> anyhow::Result<ControlNumbers> {
    with_settings(stage, vec![]).await
}

/// Control (a): each message, command and job is a batch of its own.
async fn batches_of_one(stage: &ControlStage<'_>) -> anyhow::Result<ControlNumbers> {
    with_settings(stage, vec![(BATCH_MAX.to_owned(), "1".to_owned())]).await
}

async fn with_settings(
    stage: &ControlStage<'_>,
    environment: Vec<(String, String)>,
) -> anyhow::Result<ControlNumbers> {
    let prefix = stage.prefix.clone();
    let options = ClusterOptions { prefix, environment, ..ClusterOptions::default() };
    let cluster = ServiceCluster::start(stage.stack.urls(), options, &ProgressBoard::new()).await?;
    let board = ProgressBoard::new();
    let report = drive(&cluster, Some(stage.stack), stage.options, &board).await?;
    let is_green = is_kept(cluster).await?;
    let latency = report.latency(LatencyKind::Confirmed);
    Ok(ControlNumbers {
        orders_per_second: report.rates.whole,
        cpu_us: report.costs.map_or(0.0, |costs| costs.cpu_us_all),
        p50_ms: latency.p50,
        p99_ms: latency.p99,
        is_green,
    })
}

/// The middle of some numbers, and how far they are apart, in percent of it.
fn median_and_spread(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let width = sorted.last().zip(sorted.first()).map_or(0.0, |(most, least)| most - least);
    (median, 100.0 * width / median.max(1e-9))
}

fn print(measured: &[Vec<ControlNumbers>]) {
    say(format_args!(
        "\nMedian of {ROUNDS} and spread        sagas/s            CPU µs/order        p50 ms   p99 ms   CPU, to the first"
    ));
    let all = |rounds: &[ControlNumbers], part: fn(&ControlNumbers) -> f64| {
        median_and_spread(rounds.iter().map(part))
    };
    let (first, _) = all(&measured[0], |numbers| numbers.cpu_us);
    for (row, rounds) in CONTROLS.iter().zip(measured) {
        let (rate, rate_spread) = all(rounds, |numbers| numbers.orders_per_second);
        let (cpu, cpu_spread) = all(rounds, |numbers| numbers.cpu_us);
        let (p50, _) = all(rounds, |numbers| numbers.p50_ms);
        let (p99, _) = all(rounds, |numbers| numbers.p99_ms);
        say(format_args!(
            "  {:<22} {rate:>12.0} ±{rate_spread:>4.0} % {cpu:>12.0} ±{cpu_spread:>4.0} % {p50:>12.1} {p99:>8.1} {:>12.2}",
            row.name,
            cpu / first.max(1e-9)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_three_and_their_distance() {
        assert_eq!(median_and_spread([30.0, 10.0, 20.0].into_iter()), (20.0, 100.0));
        assert_eq!(median_and_spread([7.0].into_iter()), (7.0, 0.0));
    }
}
