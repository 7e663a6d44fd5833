//! The number of log lines depends neither on the number of orders nor on the number of failures.

use std::{
    fs,
    time::{Duration, Instant},
};

use sagactl::{http_client::http_client, screen::ProgressBoard};
use serde_json::{Value, json};
use xtask::{
    cluster::{ProcessName, ServiceCluster},
    load,
};

use super::exposition;
use crate::stage::{self, Stage, answered};

/// Lines that may be written meanwhile: what a service says of itself now and then.
const LINES_MAX: usize = 20;

/// Whose lines depend on the machine, not on what is done: a statement or a connection that was
/// slow, a broker that did not answer for a while.
const OF_THE_MACHINE: [&str; 5] = ["sqlx::query", "sqlx::pool", "rdkafka", "librdkafka", "log"];

/// What a service has written so far, but for a line that it is just writing.
fn written(cluster: &ServiceCluster, member: ProcessName) -> String {
    let mut log = fs::read_to_string(cluster.log_file(member)).unwrap();
    log.truncate(log.rfind('\n').map_or(0, |n| n + 1));
    log
}

/// What was logged, and in what time.
struct Logged {
    lines: Vec<String>,
    time: Duration,
}

/// Places orders of every outcome; answers what was logged meanwhile.
async fn logged(stage: &Stage, orders: u64) -> Logged {
    let began = Instant::now();
    let before = ProcessName::SERVICES.map(|process| written(&stage.cluster, process));
    assert!(before.iter().any(|line| line.contains("\"level\":\"INFO\"")), "no line can be read");
    let options = load::LoadOptions {
        orders,
        clients: Some(8),
        products: 20,
        limit_seconds: 300,
        ..load::LoadOptions::default()
    };
    load::drive(&stage.cluster, None, &options, &ProgressBoard::new()).await.unwrap();
    let mut lines = Vec::new();
    for (member, before) in ProcessName::SERVICES.into_iter().zip(before) {
        let log = written(&stage.cluster, member);
        let new = log[before.len()..].lines().filter(|text| is_own(text));
        lines.extend(new.map(str::to_owned));
    }
    Logged { lines, time: began.elapsed() }
}

/// Whether a line is a service's own word.
fn is_own(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let target = line["target"].as_str().unwrap_or_default();
    let is_in = |module: &&str| {
        target.strip_prefix(*module).is_some_and(|text| text.is_empty() || text.starts_with("::"))
    };
    !OF_THE_MACHINE.iter().any(is_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_logged_for_each_order_or_message() {
    let stage = stage::open().await;
    let Logged { lines, time } = logged(&stage, 200).await;
    // What is said now and then is said more often where the same takes longer.
    let lines_max = LINES_MAX + usize::try_from(time.as_secs()).unwrap();
    assert!(lines.len() <= lines_max, "{} lines\n{}", lines.len(), lines.join("\n"));
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_logged_for_each_attempt_that_fails() {
    let stage = stage::open().await;
    let faults = format!("{}/faults", stage.cluster.url(ProcessName::Gateway));
    let http = http_client().unwrap();
    let broken = answered(http.put(faults).json(&json!({ "refuse_rate": 0.4 }))).await;
    assert!(broken.status().is_success());
    let Logged { lines, time } = logged(&stage, 150).await;
    // One in ten seconds, however slow the machine is.
    let told_max = time.as_secs() / 10 + 2;
    let page = stage.numbers(ProcessName::Payments).await;
    let refused =
        exposition::value(&page, "job_attempts_total{kind=\"charge\",outcome=\"refused\"}");
    assert!(refused > 30.0, "{refused} attempts have failed");
    let of_charges =
        |line: &&String| line.contains("an attempt failed") && line.contains("\"charge\"");
    let told = lines.iter().filter(of_charges).count() as u64;
    assert!((1..=told_max).contains(&told), "{told} failures are told\n{}", lines.join("\n"));
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}
