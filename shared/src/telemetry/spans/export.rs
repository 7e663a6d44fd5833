//! Exports spans: a bounded queue, a thread, a collector.
//!
//! Without a collector's address there is no queue and no thread. With one, both are the SDK's;
//! this module counts the spans that find the queue full, and logs a collector that is away once a
//! minute instead of once per batch.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry_otlp::{
    ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _},
};

use super::KeyValue;
use crate::fault;

/// Spans that may wait to leave: some 15 MB.
const QUEUE_MAX: usize = 10_000;
/// Spans that leave at once, at most.
const BATCH_MAX: usize = 1_000;
/// Spans leave at least this often.
const EVERY: Duration = Duration::from_secs(1);
/// Connecting to the collector may take this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A batch may take this long to leave.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);
/// What is there when the process ends may take this long.
const LAST_LIMIT: Duration = Duration::from_millis(800);
/// That spans are lost is said no more often than this.
const COMPLAINT_EVERY: Duration = Duration::from_mins(1);

const SPANS: &str = "trace_spans_total";

static PROCESSOR: OnceLock<BatchSpanProcessor> = OnceLock::new();

static ROOM: QueueRoom = QueueRoom(AtomicUsize::new(0));

/// Counts the spans in the queue, never fewer than there are: the SDK drops spans beyond its limit
/// without a report, so this count keeps the queue below the limit.
#[derive(Debug)]
struct QueueRoom(AtomicUsize);

impl QueueRoom {
    /// Takes a place, if there is one.
    fn enter(&self) -> bool {
        let fits = self.0.fetch_add(1, Ordering::Relaxed) < QUEUE_MAX;
        if !fits {
            self.leave(1);
        }
        fits
    }

    fn leave(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
}

/// Where spans are sent, and in which batches.
#[derive(Clone, Debug)]
pub(crate) struct SpanSettings {
    /// The collector's base URL, as in `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    /// Whose spans they are.
    pub service: &'static str,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum SpanError {
    /// The client cannot be made.
    #[error("the client of the collector cannot be made")]
    Client(#[from] reqwest::Error),
    /// The exporter cannot be made.
    #[error("the exporter cannot be made")]
    Exporter(#[from] ExporterBuildError),
    /// No thread can be started.
    #[error("the exporter's thread did not live")]
    Thread,
}

/// From now on spans leave. The first call in a process counts.
pub(crate) fn export(settings: &SpanSettings) -> Result<(), SpanError> {
    if PROCESSOR.get().is_some() {
        return Ok(());
    }
    metrics::describe_counter!(
        SPANS,
        "Spans, by outcome: sent to the collector, lost on the way, dropped for want of room."
    );
    for outcome in ["sent", "lost", "dropped"] {
        metrics::counter!(SPANS, "outcome" => outcome).increment(0);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client()?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_LIMIT)
        .build()?;
    let mut exporter = CountingExporter { exporter, said: Mutex::default() };
    exporter.set_resource(&resource(settings.service));
    let limits = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(EVERY)
        .build();
    PROCESSOR.get_or_init(|| BatchSpanProcessor::new(exporter, limits));
    Ok(())
}

/// A client that blocks the exporter's thread, and no other. It is made on a thread that is not
/// the runtime's, where it could not be made.
fn client() -> Result<reqwest::blocking::Client, SpanError> {
    // A second caller finds the provider installed already, which is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    let made = std::thread::spawn(|| {
        reqwest::blocking::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(EXPORT_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
    });
    Ok(made.join().map_err(|_panic| SpanError::Thread)??)
}

fn resource(service: &'static str) -> Resource {
    Resource::builder_empty()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build()
}

/// Whether spans leave at all.
pub(crate) fn is_on() -> bool {
    PROCESSOR.get().is_some()
}

/// Puts a span into the queue, if the queue has capacity.
pub(super) fn push(span: SpanData) {
    let Some(processor) = PROCESSOR.get() else { return };
    if ROOM.enter() {
        processor.on_end(span);
    } else {
        metrics::counter!(SPANS, "outcome" => "dropped").increment(1);
    }
}

/// Lets the last spans leave, within a limit. Blocks; to be called when nothing is done any more.
pub(crate) fn finish() {
    if let Some(processor) = PROCESSOR.get()
        && let Err(error) = processor.shutdown_with_timeout(LAST_LIMIT)
    {
        tracing::debug!(%error, "the last spans did not leave");
    }
}

/// An exporter that counts in metrics whether spans arrive: a loss would be unnoticed otherwise.
#[derive(Debug)]
struct CountingExporter<E> {
    exporter: E,
    said: Mutex<LossReport>,
}

/// What was said of lost spans.
#[derive(Debug, Default)]
struct LossReport {
    last: Option<Instant>,
    lost_since: usize,
}

impl LossReport {
    /// Notes that spans were lost at this moment; answers how many there are to be told of, if it
    /// is time to.
    fn note(&mut self, lost: usize, now: Instant) -> Option<usize> {
        self.lost_since += lost;
        let is_time =
            self.last.is_none_or(|instant| now.duration_since(instant) >= COMPLAINT_EVERY);
        is_time.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.lost_since)
        })
    }
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let n = batch.len();
        ROOM.leave(n);
        let outcome = self.exporter.export(batch).await;
        let label = if outcome.is_ok() { "sent" } else { "lost" };
        metrics::counter!(SPANS, "outcome" => label).increment(n as u64);
        if let Err(error) = &outcome {
            let told =
                self.said.lock().unwrap_or_else(PoisonError::into_inner).note(n, Instant::now());
            if let Some(lost) = told {
                tracing::warn!(
                    error = fault::chain(error),
                    lost,
                    "spans do not reach the collector"
                );
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(limit)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests;
