//! Compares page, dashboards and alerts with the metrics of a running cluster.

use std::collections::BTreeMap;

use devstack::RunningPrometheus;
use sagactl::screen::ProgressBoard;
use xtask::{cluster::ProcessName, load};

use super::{alerts, dashboards, exposition, file, page, promql, query};
use crate::stage::{self, Stage, until};

/// Labels that the scraper adds to every series, and `le`.
const GIVEN: [&str; 3] = ["job", "instance", "le"];
/// Metrics of Prometheus' own.
const ITS_OWN: [&str; 2] = ["up", "ALERTS"];

/// Orders that may pass until everything has been shown.
const LOOKS_MAX: u32 = 30;

/// Rounds of orders that may pass without another panel that shows something.
const ROUNDS_MAX: u32 = 100;

/// Metrics that each service exports.
async fn shown(stage: &Stage) -> page::Shown {
    let mut shown = BTreeMap::new();
    for member in ProcessName::SERVICES {
        shown.insert(member.program(), exposition::read(&stage.numbers(member).await));
    }
    shown
}

/// What each service shows, once it has shown everything that the page says: some numbers come only
/// with a first look at the database.
async fn all_shown(stage: &Stage, page: &str) -> page::Shown {
    for _ in 0..LOOKS_MAX {
        let shown = shown(stage).await;
        if page::says(page, &shown) {
            return shown;
        }
        stage.history(stage.place("load-0001", "tok_visa").await.id, &["notification-sent"]).await;
    }
    shown(stage).await
}

/// Orders of every outcome.
async fn load(stage: &Stage) {
    let options = load::LoadOptions {
        orders: 40,
        clients: Some(8),
        products: 20,
        limit_seconds: 300,
        ..load::LoadOptions::default()
    };
    load::drive(&stage.cluster, None, &options, &ProgressBoard::new()).await.unwrap();
}

/// What an expression asks for that nobody shows.
fn unknown(expression: &str, legend: &str, shown: &page::Shown) -> Vec<String> {
    let all = page::merged(shown);
    let asked = promql::read(expression);
    let mut unknown = Vec::new();
    let mut labels: Vec<&str> = GIVEN.into();
    for (name, chosen) in &asked.metrics {
        if ITS_OWN.contains(&name.as_str()) {
            continue;
        }
        let Some(metric) = all.get(exposition::family(&all, name)) else {
            unknown.push(name.clone());
            continue;
        };
        labels.extend(metric.labels.iter().map(String::as_str));
        let has = |text: &&String| metric.labels.contains(*text) || GIVEN.contains(&text.as_str());
        unknown.extend(
            chosen.iter().filter(|text| !has(text)).map(|text| format!("{name}{{{text}}}")),
        );
    }
    let in_legend = legend.split("{{").skip(1).filter_map(|text| text.split("}}").next());
    let grouped = asked.grouped.iter().map(String::as_str).chain(in_legend);
    unknown
        .extend(grouped.filter(|text| !labels.contains(text)).map(|label| format!("by {label}")));
    unknown
}

#[test]
fn an_expression_that_asks_for_what_is_not_there_is_found() {
    let page = "# TYPE a histogram\na_bucket{x=\"1\",le=\"1\"} 1\n# TYPE b gauge\nb 1\n";
    let shown = BTreeMap::from([("some-service", exposition::read(page))]);
    let of = |expression, legend| unknown(expression, legend, &shown).join(" ");
    assert_eq!(of("sum by (job, x) (rate(a_bucket{x=\"1\"}[5m])) / on (job) b", "{{x}}"), "");
    assert_eq!(of("a", "{{job}}"), "");
    assert_eq!(of("c{x=\"1\"}", ""), "c");
    assert_eq!(of("b{x=\"1\"}", ""), "b{x}");
    assert_eq!(of("sum by (y) (b)", ""), "by y");
    assert_eq!(of("b", "{{y}}"), "by y");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_dashboards_and_alerts_speak_of_the_numbers_that_a_cluster_shows() {
    let stage = stage::open().await;
    load(&stage).await;
    let shown = all_shown(&stage, &file("docs/metrics.md")).await;
    page::assert_decent(&shown);
    page::assert_says(&file("docs/metrics.md"), &shown);
    for query in dashboards::queries() {
        let unknown = unknown(&query.expression, &query.legend, &shown);
        assert_eq!(unknown, [""; 0], "{}: {}", query.place, query.expression);
    }
    for (place, expression) in alerts::expressions() {
        assert_eq!(unknown(&expression, "", &shown), [""; 0], "{place}: {expression}");
    }
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}

/// The question that Grafana makes of an expression, for a scrape every second.
fn asked(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "10s")
        .replace("$__range", "1m")
        .replace("$service", ".*")
}

/// Asks every panel's question until each has shown something, while orders go each way.
async fn assert_shows(stage: &Stage, prometheus: &RunningPrometheus) {
    let mut silent = dashboards::queries();
    let mut in_vain = 0;
    while !silent.is_empty() {
        let [paid, declined] =
            [stage.place("load-0001", "tok_visa"), stage.place("load-0002", "tok_chargeDeclined")];
        let (paid, declined, none) =
            tokio::join!(paid, declined, stage.place("unobtainium", "tok_visa"));
        for order in [paid, declined, none] {
            stage.history(order.id, &["notification-sent"]).await;
        }
        let (silent_before, mut still) = (silent.len(), Vec::new());
        for query in silent {
            let values = query::now(prometheus.url(), &asked(&query.expression)).await;
            let values = values.unwrap_or_else(|error| panic!("{}: {error}", query.place));
            if values.is_empty() {
                still.push(query);
            }
        }
        in_vain = if still.len() < silent_before { 0 } else { in_vain + 1 };
        silent = still;
        assert!(in_vain < ROUNDS_MAX, "these show nothing: {silent:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_and_no_alert_fires_while_all_is_well() {
    let stage = stage::open().await;
    let target = |member: ProcessName| {
        let address = stage.cluster.admin(member).trim_start_matches("http://").to_owned();
        (member.program(), address)
    };
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts/saga.yaml");
    let targets = ProcessName::SERVICES.map(target);
    let prometheus = RunningPrometheus::start(&targets, &[rules]).await.unwrap();
    assert_shows(&stage, &prometheus).await;
    until("every alert was evaluated", async || {
        let alerts = query::alerts(prometheus.url()).await;
        alerts.len() == alerts::names().len() && alerts.iter().all(|(_, health, _)| health == "ok")
    })
    .await;
    for (name, _, state) in query::alerts(prometheus.url()).await {
        assert_ne!(state, "firing", "{name}");
    }
    drop(prometheus);
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}
