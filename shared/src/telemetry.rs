//! Telemetry of a process: log lines, spans, metrics.
//!
//! Logs go to standard output, one line per event, for people or as JSON; if nobody reads them, the
//! work goes on without ([`mod@log`]). Metrics are kept in Prometheus' form and rendered on
//! request. [Spans](spans) are exported to a collector, if one is configured.
//!
//! **Architecture invariant:** an error is logged once, where it becomes an answer or a decision.
//! No secret and no personal data are logged.

use std::{
    io::IsTerminal as _,
    panic,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        SubscriberBuilder,
        format::{DefaultFields, Format as LineFormat, Json, JsonFields},
    },
};

use crate::lifecycle::InfallibleResult;

pub(crate) use self::log::finish as finish_log;
pub use self::process_metrics::ProcessMetrics;
pub(crate) use self::process_metrics::describe_service;

#[cfg(test)]
pub(crate) mod captured_log;
mod log;
pub(crate) mod messaging;
mod metric_descriptions;
mod process_metrics;
pub mod spans;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people, with colours on a terminal.
    #[default]
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The recorder of the metrics cannot be installed.
    #[error("the recorder of metrics cannot be installed")]
    Recorder(#[from] BuildError),
    /// The thread that writes the log cannot be started.
    #[error("the log cannot be written by a thread of its own")]
    Log(#[from] std::io::Error),
}

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// All metrics, in Prometheus' text form.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Sorts what was measured into its buckets every so often until told to stop. Else each
    /// measurement would be kept as it is until somebody asks, and nobody may ever ask.
    ///
    /// A measurement that another thread is making at that very moment may be lost: the library
    /// takes the block away between the writer's look at it and its write; at most about one for
    /// each look at the numbers. Counters are not concerned, so what must stay 0 is never a
    /// histogram.
    pub(crate) async fn run_upkeep(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> InfallibleResult {
        let rest = || stop.run_until_cancelled(tokio::time::sleep(every));
        while rest().await.is_some() {
            self.0.run_upkeep();
        }
        Ok(())
    }
}

/// Held while it is looked at and while all of this is made: tests begin at the same moment.
static METRICS: Mutex<Option<MetricsHandle>> = Mutex::new(None);

/// Seconds, from a statement's to a patient caller's.
const SECONDS: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds, from a quick end to a deadline's.
const LONG_SECONDS: &[f64] =
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0];

const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// Whether a filter of log lines can be read.
pub(crate) fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    EnvFilter::try_new(filter)?;
    Ok(())
}

/// Starts logs, metrics and the panic hook. The first call in a process counts; later ones get the
/// same metrics.
pub fn init(format: LogFormat, filter: &str) -> Result<MetricsHandle, TelemetryError> {
    let mut known = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = &*known {
        return Ok(metrics.clone());
    }
    let filter = EnvFilter::try_new(filter)?;
    let colours = std::io::stdout().is_terminal();
    let log = log::stdout(log::LogLayout { format, colours })?;
    // An event that cannot be formatted would be complained of on standard error, where nobody may
    // listen either.
    let lines = tracing_subscriber::fmt().with_ansi(colours).log_internal_errors(false);
    let lines = lines.with_writer(log);
    let installed = match format {
        LogFormat::Pretty => lines.with_target(false).with_env_filter(filter).try_init(),
        LogFormat::Json => as_json(lines).with_env_filter(filter).try_init(),
    };
    if let Err(error) = installed {
        // A test's own subscriber, or that of a program which holds several services.
        tracing::debug!(error, "logs go where they went before");
    }
    let metrics = known.insert(MetricsHandle(recorder_builder()?.install_recorder()?)).clone();
    metric_descriptions::describe();
    process_metrics::describe();
    log_panics();
    Ok(metrics)
}

/// The recorder of the metrics, with the buckets of its histograms.
fn recorder_builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("saga_duration_seconds".to_owned()), LONG_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), SIZES)
}

/// One object a line, with the innermost span, which is the one that has the ids.
fn as_json<W>(lines: SubscriberBuilder<DefaultFields, LineFormat, LevelFilter, W>) -> JsonLines<W> {
    lines.json().flatten_event(true).with_span_list(false)
}

type JsonLines<W> = SubscriberBuilder<JsonFields, LineFormat<Json>, LevelFilter, W>;

/// A panic is one log line like any other error. Where no errors are logged, it is told as before.
fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !tracing::enabled!(tracing::Level::ERROR) {
            return before(panic);
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("of a kind that cannot be printed");
        let thread = std::thread::current();
        tracing::error!(place, reason, thread = thread.name(), "a panic");
    }));
}

#[cfg(test)]
mod tests;
