use std::{collections::BTreeMap, io};

use axum::{Router, body::Body, extract::Request, routing::get};
use serde_json::Value;
use tower::ServiceExt as _;
use tracing::subscriber::DefaultGuard;

use super::{captured_log::CapturedLog, *};
use crate::{
    http,
    lifecycle::{ProcessLifecycle, StopStage},
};

/// Captures what this thread logs, as JSON.
fn capture() -> (CapturedLog, DefaultGuard) {
    let log = CapturedLog::default();
    let writer = log.clone();
    let subscriber = as_json(tracing_subscriber::fmt().with_writer(move || writer.clone()));
    (log, tracing::subscriber::set_default(subscriber.finish()))
}

#[tokio::test]
async fn a_line_within_a_request_carries_its_trace() {
    let (log, _captured) = capture();
    let routes = Router::new().route("/work", get(async || tracing::info!("at work")));
    let routes = http::finish(routes, &http::HttpSettings::default());
    let request = Request::get("/work")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let request = request.body(Body::empty()).unwrap();
    routes.oneshot(request).await.unwrap();
    let line: Value = serde_json::from_str(&log.line_with("at work")).unwrap();
    assert_eq!(line["span"]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn no_name_stands_twice_in_a_line_of_a_part() {
    let (log, _captured) = capture();
    let process = ProcessLifecycle::new(Duration::from_secs(1));
    let part = async |_| -> Result<(), io::Error> {
        tracing::info!("at work");
        Ok(())
    };
    process.start(StopStage::Work, "letters", part);
    process.stop().await;
    let line = log.line_with("at work");
    assert_eq!(line.matches("\"name\":").count(), 1, "{line}");
    let line: BTreeMap<String, Value> = serde_json::from_str(&line).unwrap();
    assert_eq!(line["span"]["part"], "letters");
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Kept one by one, these measurements would take 80 MB.
const ROUNDS: u32 = 100;
const EACH: u32 = 100_000;
const GROWN_MAX: u64 = 40_000_000;

#[tokio::test]
async fn measurements_do_not_pile_up_where_nobody_asks() {
    // Numbers of its own: those of the process are sorted by others at the same time, at which some
    // may be lost (see `Metrics::run_upkeep`).
    let recorder = recorder_builder().unwrap().build_recorder();
    let metrics = MetricsHandle(recorder.handle());
    let measured = metrics::with_local_recorder(&recorder, || metrics::histogram!("piled_up_size"));
    let stop = CancellationToken::new();
    let measuring = async {
        for _ in 0..ROUNDS {
            measured.record_many(1.0, EACH as usize);
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let before = resident();
    let (kept_up, ()) =
        tokio::join!(metrics.clone().run_upkeep(Duration::from_millis(5), stop.clone()), measuring);
    kept_up.unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWN_MAX, "{grown} bytes more");
    let page = metrics.render();
    let count = page.lines().find_map(|text| text.strip_prefix("piled_up_size_count "));
    assert_eq!(count, Some((ROUNDS * EACH).to_string().as_str()), "{page}");
}
