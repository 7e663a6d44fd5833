//! `xtask load`: places many orders, measures their latencies and their cost, and checks that every invariant
//! holds.
//!
//! ```text
//! cargo run --release --bin xtask -- load --orders 20000 --clients 64 --warm-up 2000
//! cargo run --release --bin xtask -- load --orders 20000 --rate 500 --json load.json --svg plots
//! cargo xtask load --at found --orders 500
//! ```
//!
//! ```text
//! products ──> reader of the topics ──> warm-up ──> costs ──> orders that count ──> costs ──> report ──> audit
//! ```
//!
//! **Invariant:** nothing that is measured is asked meanwhile: ends and mails come from the topics, costs
//! from counters that are read once before and once after.

use std::{process::ExitCode, sync::Arc, time::Duration};

use devstack::ServerStack;
use sagactl::{
    audit::{AuditOutcome, command},
    http_client::http_client,
    screen::{ProgressBoard, say},
};
use tokio::time::Instant;

use self::{
    catalogue::ProductCatalogue,
    ends::EndReader,
    given_system::LoadTarget,
    placing::{AnswerCounts, FailurePolicy, LoadClient},
    report::{AuditVerdict, LoadMeasurement, LoadReport},
    resource_usage::{AccountedProcess, ResourceUsage},
    tracker::OrderTracker,
    usage_samples::{UsageSampler, UsageSeries},
};
pub use self::{
    mix::{OrderMix, wish},
    options::{LoadOptions, WaitFor},
};
use crate::{
    client::OrderClient,
    cluster::{self, AuditExpectation, ServiceCluster},
};

pub mod catalogue;
pub mod controls;
pub mod ends;
pub mod given_system;
pub mod load_plots;
pub mod mix;
pub mod open_work;
pub mod options;
pub mod order_times;
pub mod pace;
pub mod phase;
pub mod placing;
pub mod report;
pub mod report_table;
pub mod resource_usage;
pub mod result_files;
pub mod tables;
pub mod tracker;
pub mod usage_samples;

/// The server looks for what is to be swept up once a minute.
const SWEPT_AFTER: Duration = Duration::from_secs(75);

/// Starts everything, places the load, prints what it cost.
pub async fn run(options: LoadOptions) -> anyhow::Result<ExitCode> {
    if let Some(at) = &options.at {
        return run_at(at, &options).await;
    }
    if options.controls {
        return controls::run(&options).await;
    }
    let (stack, cluster) = cluster::with_stack(options.from, 0).await?;
    let before = if options.tables { Some(tables::read(&cluster).await?) } else { None };
    let mut report = drive(&cluster, Some(&stack), &options, &ProgressBoard::new()).await?;
    report_table::print(&report);
    if let Some(before) = before {
        let after = tables::read(&cluster).await?;
        tokio::time::sleep(SWEPT_AFTER).await;
        tables::print(&before, &after, &tables::read(&cluster).await?);
    }
    let is_green = ends_well(stack, cluster).await?;
    report.audit = if is_green { AuditVerdict::Green } else { AuditVerdict::NotGreen };
    report_table::print_verdict(report.audit);
    result_files::write(&report, &options)?;
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Places the load on a system that others run.
async fn run_at(at: &str, options: &LoadOptions) -> anyhow::Result<ExitCode> {
    let target = LoadTarget::given(at, options)?;
    let report = drive_target(&target, options, &ProgressBoard::new()).await?;
    report_table::print(&report);
    report_table::print_verdict(report.audit);
    result_files::write(&report, options)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks every invariant, and ends everything; whether all was as it should be.
pub(crate) async fn ends_well(stack: ServerStack, cluster: ServiceCluster) -> anyhow::Result<bool> {
    let is_green = is_kept(cluster).await?;
    stack.stop().await;
    Ok(is_green)
}

/// Checks every invariant of a cluster, and ends it; whether all was as it should be.
async fn is_kept(cluster: ServiceCluster) -> anyhow::Result<bool> {
    say("\nChecking every promise from outside");
    let audit = cluster.audit(AuditExpectation::default()).await?;
    command::print(&audit);
    let unwell = cluster.stop().await?;
    for complaint in &unwell {
        say(format_args!("  ✘ {complaint}"));
    }
    Ok(audit.outcome == AuditOutcome::Kept && unwell.is_empty())
}

/// Places the load on a cluster, reads its costs, and waits until all work of it has ended.
pub async fn drive(
    cluster: &ServiceCluster,
    stack: Option<&ServerStack>,
    options: &LoadOptions,
    board: &ProgressBoard,
) -> anyhow::Result<LoadReport> {
    let target = LoadTarget::of(cluster);
    let (client, reader) = ready(&target, options, board).await?;
    let before = ResourceUsage::before(cluster, stack).await?;
    let sampler = UsageSampler::start(AccountedProcess::all(cluster, stack).await);
    let (began, answers) = count(&client, board).await?;
    let spent = ResourceUsage::after(cluster, stack).await?.since(&before);
    let usage = sampler.take();
    drop(reader);
    // Refunds and second mails of orders that have ended: the audit finds everything at rest.
    let still_max = Duration::from_secs(options.limit_seconds);
    open_work::wait_for_ends(cluster, still_max, |_| ()).await?;
    let orders = client.tracker.take();
    let measured = LoadMeasurement { began, orders, answers, spent: Some(spent), usage };
    LoadReport::of(options, &client.mix.run_id, measured)
}

/// Places the load on a system of which nothing but its addresses is known.
async fn drive_target(
    target: &LoadTarget,
    options: &LoadOptions,
    board: &ProgressBoard,
) -> anyhow::Result<LoadReport> {
    let (client, reader) = ready(target, options, board).await?;
    let (began, answers) = count(&client, board).await?;
    drop(reader);
    let (orders, usage) = (client.tracker.take(), UsageSeries::default());
    let measured = LoadMeasurement { began, orders, answers, spent: None, usage };
    LoadReport::of(options, &client.mix.run_id, measured)
}

/// All that is done before the orders that count.
async fn ready(
    target: &LoadTarget,
    options: &LoadOptions,
    board: &ProgressBoard,
) -> anyhow::Result<(LoadClient, EndReader)> {
    let mix = OrderMix::of(options);
    let catalogue = ProductCatalogue::at(&target.inventory, &target.orders)?;
    let made = catalogue.prepare(options, &mix.run_id, board).await?;
    if made > 0 {
        board.note(format_args!("  {made} products were missing and have been made"));
    }
    let client = LoadClient {
        orders: OrderClient::at(http_client()?, &target.orders),
        options: Arc::new(options.clone()),
        mix: Arc::new(mix),
        tracker: OrderTracker::default(),
        failures: FailurePolicy::None,
    };
    let reader = EndReader::start(&target.broker, &client.tracker).await?;
    if options.warm_up > 0 {
        board.note(format_args!("  {} orders to warm up", options.warm_up));
        phase::run_phase(&client, 0..options.warm_up, board).await?;
        client.tracker.take();
    }
    Ok((client, reader))
}

/// Places the orders that count; answers when that began.
async fn count(
    client: &LoadClient,
    board: &ProgressBoard,
) -> anyhow::Result<(Instant, AnswerCounts)> {
    let (began, warm_up) = (Instant::now(), client.options.warm_up);
    let answers = phase::run_phase(client, warm_up..warm_up + client.options.orders, board).await?;
    Ok((answers.first.unwrap_or(began), answers))
}
