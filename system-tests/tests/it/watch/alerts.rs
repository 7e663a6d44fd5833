//! The alerts in `deploy/alerts`, tried with Prometheus' own tool, and the page that each leads to.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::CommandFactory as _;
use reqwest::Url;
use serde_json::Value;
use tokio::process::Command;

use super::{file, files};

/// Headings of each page, in this order.
const HEADINGS: [&str; 5] = [
    "## What it means",
    "## What customers feel",
    "## How to look",
    "## How to fix it",
    "## What never to do",
];

fn alerts() -> Vec<Value> {
    alerts_in(&file("deploy/alerts/saga.yaml"))
}

fn alerts_in(rules: &str) -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(rules).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    groups.iter().flat_map(|value| value["rules"].as_array().unwrap().clone()).collect()
}

pub(super) fn names() -> BTreeSet<String> {
    alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect()
}

/// The pages, by the alert that they are about.
fn pages() -> Vec<(String, String)> {
    let mut pages = files("docs/runbooks", ".md");
    pages.retain(|(name, _)| name != "README");
    pages
}

/// Every expression of alerts and of their pages, with its place.
pub(super) fn expressions() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = alerts().into_iter().map(|value| (text(&value["alert"]), text(&value["expr"])));
    let of_page = |(name, page): (String, String)| {
        let blocks =
            page.split("```promql\n").skip(1).filter_map(|block| block.split("```").next());
        let lines = blocks.flat_map(str::lines).map(str::to_owned).collect::<Vec<_>>();
        lines.into_iter().map(move |line| (format!("{name}.md"), line))
    };
    own.chain(pages().into_iter().flat_map(of_page)).collect()
}

/// The alerts of counters that must stay 0, with their expressions.
pub(super) fn must_stay_0() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&file("deploy/alerts/saga.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let its = groups.filter(|value| value["name"] == "must-stay-0");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    its.flat_map(|value| value["rules"].as_array().unwrap())
        .map(|alert| (text(&alert["alert"]), text(&alert["expr"])))
        .collect()
}

/// What is wrong with an alert.
fn complaints(alert: &Value) -> Vec<&'static str> {
    let says = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let (labels, annotations) = (&alert["labels"], &alert["annotations"]);
    let page = format!("${{RUNBOOKS_URL}}/{}.md", alert["alert"].as_str().unwrap_or_default());
    let rules = [
        ("no severity", labels["severity"] == "critical" || labels["severity"] == "warning"),
        ("no patience", says(&alert["for"])),
        ("no summary", says(&annotations["summary"])),
        ("no page", annotations["runbook_url"] == page),
    ];
    rules.into_iter().filter(|(_, kept)| !kept).map(|(complaint, _)| complaint).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts")
}

/// The rules as they are provisioned with this setting, or why not.
async fn provisioned(runbooks_url: &str) -> Result<String, String> {
    let rules = File::open(folder().join("saga.yaml")).unwrap();
    let mut command = Command::new("sh");
    command.arg("with-runbooks.sh").env("RUNBOOKS_URL", runbooks_url);
    let output = command.current_dir(folder()).stdin(Stdio::from(rules)).output().await.unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The address of the runbooks that the compose file gives to the alerts.
fn default_url() -> String {
    let compose: Value = serde_saphyr::from_str(&file("docker-compose.yml")).unwrap();
    let setting = compose["services"]["alerts"]["environment"]["RUNBOOKS_URL"].clone();
    let (_, default) = setting.as_str().unwrap().split_once(":-").unwrap();
    default.trim_end_matches('}').to_owned()
}

/// Runs the tool in the folder of the alerts.
async fn promtool(words: &[&str]) -> Result<(), String> {
    let mut command = Command::new(devstack::promtool().await.unwrap());
    let output = command.args(words).current_dir(folder()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.into_owned()) }
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do() {
    for alert in alerts() {
        assert_eq!(complaints(&alert), [""; 0], "{}", alert["alert"]);
    }
    let (mut planted, none) = (alerts().remove(0), Value::Null);
    planted["labels"]["severity"] = "loud".into();
    planted["for"] = none.clone();
    planted["annotations"] = none;
    assert_eq!(complaints(&planted), ["no severity", "no patience", "no summary", "no page"]);
}

#[test]
fn each_alert_has_its_page_and_each_page_its_alert() {
    let pages: BTreeSet<String> = pages().into_iter().map(|(name, _)| name).collect();
    assert_eq!(pages, names());
    let index = file("docs/runbooks/README.md");
    for name in names() {
        assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
    }
}

#[test]
fn each_page_tells_all_and_calls_commands_that_there_are() {
    let cli = sagactl::cli::CommandLine::command();
    let commands: BTreeSet<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    for (name, page) in pages() {
        let headings: Vec<&str> = page.lines().filter(|text| text.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
        let called =
            page.split("sagactl ").skip(1).filter_map(|text| text.split_whitespace().next());
        for command in
            called.map(|text| text.trim_matches(|character: char| !character.is_alphanumeric()))
        {
            assert!(commands.contains(command), "{name}: sagactl {command}");
        }
    }
}

#[tokio::test]
async fn the_alerts_are_rules_that_prometheus_takes() {
    promtool(&["check", "rules", "saga.yaml"]).await.unwrap();
}

#[tokio::test]
async fn each_alert_leads_to_its_page_by_a_full_address() {
    for base in [default_url(), "https://wiki.example/a&b|c\\d/".to_owned()] {
        let rules = provisioned(&base).await.unwrap();
        let alerts = alerts_in(&rules);
        assert_eq!(alerts.len(), names().len());
        for alert in alerts {
            let name = alert["alert"].as_str().unwrap();
            let url = alert["annotations"]["runbook_url"].as_str().unwrap();
            assert_eq!(url, format!("{}/{name}.md", base.trim_end_matches('/')));
            assert!(Url::parse(url).is_ok_and(|url| url.has_host()), "{url}");
        }
        let kept = tempfile::tempdir().unwrap();
        let path = kept.path().join("saga.yaml");
        std::fs::write(&path, rules).unwrap();
        promtool(&["check", "rules", path.to_str().unwrap()]).await.unwrap();
    }
}

#[tokio::test]
async fn without_an_address_of_the_runbooks_there_are_no_alerts_and_a_line_that_says_why() {
    for bad in ["", "docs/runbooks", "http://", "ftp://wiki.example"] {
        let refusal = provisioned(bad).await.unwrap_err();
        assert!(refusal.starts_with(&format!("RUNBOOKS_URL is '{bad}'. Set it to ")), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
}

/// Grafana serves its folder `public` under that path: what is mounted there has each page.
#[test]
fn where_the_compose_file_lets_links_lead_there_is_each_page() {
    let compose: Value = serde_saphyr::from_str(&file("docker-compose.yml")).unwrap();
    let grafana = &compose["services"]["grafana"];
    let url = Url::parse(&default_url()).unwrap();
    let port = format!("127.0.0.1:${{GRAFANA_PORT:-{}}}:3000", url.port().unwrap());
    let has = |list: &Value, text: &str| list.as_array().unwrap().iter().any(|item| item == text);
    assert!(has(&grafana["ports"], &port), "{port}");
    assert!(has(&grafana["volumes"], "./docs:/otel-lgtm/grafana/public/docs:ro"));
    let folder = url.path().strip_prefix("/public/").unwrap();
    assert_eq!(folder, "docs/runbooks");
    let (path, mount) = ("/alerts/saga.yaml", "alerts:/otel-lgtm/saga/alerts:ro");
    assert!(has(&grafana["volumes"], mount));
    let entrypoint = compose["services"]["alerts"]["entrypoint"][2].as_str().unwrap();
    assert!(entrypoint.ends_with(&format!("> {path}")), "{entrypoint}");
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_is_silent_when_it_should_be() {
    promtool(&["test", "rules", "saga.test.yaml"]).await.unwrap();
    let tests: Value = serde_saphyr::from_str(&file("deploy/alerts/saga.test.yaml")).unwrap();
    let all = tests["tests"].as_array().unwrap().iter();
    let tried = all.flat_map(|file| file["alert_rule_test"].as_array().unwrap());
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for it in tried {
        let name = it["alertname"].as_str().unwrap().to_owned();
        let expected = it["exp_alerts"].as_array().is_some_and(|items| !items.is_empty());
        if expected {
            fires.insert(name)
        } else {
            is_silent.insert(name)
        };
    }
    assert_eq!(fires, names(), "these are seen to fire");
    assert_eq!(is_silent, names(), "these are seen to be silent");
}
