//! The dashboards in `deploy/grafana`: each panel says what it shows, of a Prometheus that is named
//! by its uid, and of no machine in particular.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{alerts, file, files, promql};

/// How often the services are scraped. A panel and its questions have to say so: for Grafana, the
/// image's Prometheus is one that scrapes once a minute, and a rate would go over four of them.
const SCRAPED_EVERY: &str = "5s";

/// A question of a panel.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) place: String,
    /// As it stands there, with Grafana's variables.
    pub(super) expression: String,
    /// How its lines are called.
    pub(super) legend: String,
}

/// All dashboards, by name.
fn dashboards() -> Vec<(String, Value)> {
    let files = files("deploy/grafana/dashboards", ".json");
    let read = |text: &str| serde_json::from_str(text).unwrap();
    files.iter().map(|(name, text)| (name.clone(), read(text))).collect()
}

/// The panels of a dashboard that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().unwrap();
    all.iter().filter(|panel| panel["type"] != "row").collect()
}

/// Every question of every panel.
pub(super) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            for target in panel["targets"].as_array().unwrap() {
                queries.push(Query {
                    place: format!("{name}: {}", text(&panel["title"])),
                    expression: text(&target["expr"]),
                    legend: text(&target["legendFormat"]),
                });
            }
        }
    }
    queries
}

/// What is wrong with a panel.
fn complaints(panel: &Value) -> Vec<&'static str> {
    let says = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let ours = |value: &Value| value["uid"] == "prometheus" && value["type"] == "prometheus";
    let targets = panel["targets"].as_array().cloned().unwrap_or_default();
    let names: BTreeSet<_> = targets.iter().map(|value| value["refId"].as_str()).collect();
    let particular =
        |value: &Value| value["expr"].as_str().is_some_and(|text| text.contains("instance="));
    let rules = [
        ("it has no title", says(&panel["title"])),
        ("it has no description", says(&panel["description"])),
        ("it has no unit", says(&panel["fieldConfig"]["defaults"]["unit"])),
        ("it asks somebody else", ours(&panel["datasource"])),
        (
            "a question of it asks somebody else",
            targets.iter().all(|target| ours(&target["datasource"])),
        ),
        (
            "it asks nothing",
            !targets.is_empty() && targets.iter().all(|value| says(&value["expr"])),
        ),
        ("two questions have one name", names.len() == targets.len()),
        ("it names a machine", !targets.iter().any(particular)),
        ("it is coarse", panel["interval"] == SCRAPED_EVERY),
        (
            "a question of it is coarse",
            targets.iter().all(|value| value["interval"] == SCRAPED_EVERY),
        ),
    ];
    rules.into_iter().filter(|(_, kept)| !kept).map(|(complaint, _)| complaint).collect()
}

/// Whether two panels lie on each other.
fn overlap(one: &Value, other: &Value) -> bool {
    let side = |panel: &Value, at: &str, size: &str| {
        let of = |name| panel["gridPos"][name].as_u64().unwrap();
        (of(at), of(at) + of(size))
    };
    ["x", "y"].into_iter().zip(["w", "h"]).all(|(at, size)| {
        let (one, other) = (side(one, at, size), side(other, at, size));
        one.0 < other.1 && other.0 < one.1
    })
}

#[test]
fn each_dashboard_is_one_that_grafana_takes() {
    let dashboards = dashboards();
    let names: Vec<&str> = dashboards.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["messaging", "saga", "services"]);
    for (name, dashboard) in &dashboards {
        assert_eq!(dashboard["uid"], format!("saga-{name}"));
        assert_eq!(dashboard["schemaVersion"], 42, "{name}: the version of the image's Grafana");
        assert!(dashboard["id"].is_null(), "{name}: Grafana gives the number");
        let all = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = all.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), all.len(), "{name}: two panels have one number");
        for (at, panel) in all.iter().enumerate() {
            let under = all[..at].iter().find(|value| overlap(panel, value));
            assert!(under.is_none(), "{name}: {} lies on {under:?}", panel["title"]);
        }
    }
}

#[test]
fn each_panel_has_a_title_a_description_a_unit_and_a_data_source() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            assert_eq!(complaints(panel), [""; 0], "{name}: {}", panel["title"]);
        }
    }
}

#[test]
fn a_panel_that_says_nothing_is_found() {
    let (_, dashboard) = dashboards().remove(0);
    let panel = panels(&dashboard)[0].clone();
    let plant = |pointer: &str, value: Value| {
        let mut planted = panel.clone();
        *planted.pointer_mut(pointer).unwrap() = value;
        complaints(&planted)
    };
    assert_eq!(plant("/description", "".into()), ["it has no description"]);
    assert_eq!(plant("/fieldConfig/defaults/unit", Value::Null), ["it has no unit"]);
    assert_eq!(plant("/datasource/uid", "other".into()), ["it asks somebody else"]);
    assert_eq!(plant("/targets", serde_json::json!([])), ["it asks nothing"]);
    assert_eq!(plant("/interval", "1m".into()), ["it is coarse"]);
    assert_eq!(plant("/targets/0/interval", Value::Null), ["a question of it is coarse"]);
    assert_eq!(plant("/targets/0/expr", "a{instance=\"b:1\"}".into()), ["it names a machine"]);
}

#[test]
fn each_counter_that_must_stay_0_is_shown_with_its_page() {
    let (_, messaging) = dashboards().remove(0);
    for (alert, expression) in alerts::must_stay_0() {
        let page = format!("Must stay 0: runbook {alert}.");
        let panels = panels(&messaging);
        let tells = |value: &&&Value| value["description"].as_str().unwrap().ends_with(&page);
        let shown = panels.iter().filter(tells).map(|panel| panel["targets"][0]["expr"].clone());
        let counters = promql::read(&expression).metrics.into_keys();
        let expected: Vec<String> = counters.map(|text| format!("sum({text})")).collect();
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{alert}");
    }
}

#[test]
fn the_image_finds_dashboards_alerts_and_services_where_they_are() {
    let compose: Value = serde_saphyr::from_str(&file("docker-compose.yml")).unwrap();
    let mounts = compose["services"]["grafana"]["volumes"].as_array().unwrap();
    for mount in [
        "./deploy/grafana/provider.yaml:/otel-lgtm/grafana/conf/provisioning/dashboards/saga.yaml:ro",
        "./deploy/grafana/dashboards:/otel-lgtm/saga/dashboards:ro",
        "./deploy/grafana/prometheus.yaml:/otel-lgtm/prometheus.yaml:ro",
        "alerts:/otel-lgtm/saga/alerts:ro",
    ] {
        assert!(mounts.iter().any(|mounted| mounted == mount), "{mount}");
    }
    let provider: Value = serde_saphyr::from_str(&file("deploy/grafana/provider.yaml")).unwrap();
    assert_eq!(provider["providers"][0]["options"]["path"], "/otel-lgtm/saga/dashboards");
    let config: Value = serde_saphyr::from_str(&file("deploy/grafana/prometheus.yaml")).unwrap();
    assert_eq!(config["rule_files"], serde_json::json!(["/otel-lgtm/saga/alerts/saga.yaml"]));
    assert_eq!(config["global"]["scrape_interval"], SCRAPED_EVERY);
    let scraped: Vec<(String, String)> = config["scrape_configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| {
            let target = value["static_configs"][0]["targets"][0].as_str().unwrap();
            (value["job_name"].as_str().unwrap().to_owned(), target.to_owned())
        })
        .collect();
    let services = xtask::cluster::ProcessName::SERVICES.map(|member| {
        let settings = &compose["services"][member.program()]["environment"];
        let (_, port) = settings["ADMIN_LISTEN"].as_str().unwrap().rsplit_once(':').unwrap();
        (member.program().to_owned(), format!("{}:{port}", member.program()))
    });
    assert_eq!(scraped, services);
}
