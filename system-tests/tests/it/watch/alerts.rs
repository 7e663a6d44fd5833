//! The alerts in `deploy/alerts`, tried with Prometheus' own tool, and the page that each leads to.

use std::{collections::BTreeSet, path::Path};

use clap::CommandFactory as _;
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
    let rules: Value = serde_saphyr::from_str(&file("deploy/alerts/saga.yaml")).unwrap();
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
    let page = format!("docs/runbooks/{}.md", alert["alert"].as_str().unwrap_or_default());
    let rules = [
        ("no severity", labels["severity"] == "critical" || labels["severity"] == "warning"),
        ("no patience", says(&alert["for"])),
        ("no summary", says(&annotations["summary"])),
        ("no page", annotations["runbook_url"] == page),
    ];
    rules.into_iter().filter(|(_, kept)| !kept).map(|(complaint, _)| complaint).collect()
}

/// Runs the tool in the folder of the alerts.
async fn promtool(words: &[&str]) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts");
    let mut command = Command::new(devstack::promtool().await.unwrap());
    let output = command.args(words).current_dir(folder).output().await.unwrap();
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
