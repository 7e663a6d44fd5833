//! Compares `docs/metrics.md` with the metrics of a cluster; prints missing rows as they should be.

use std::collections::{BTreeMap, BTreeSet};

use super::exposition::Metric;

/// Metrics that the four services export, by service.
pub(super) type Shown = BTreeMap<&'static str, BTreeMap<String, Metric>>;

/// A label with more values than this is not one of a few words.
const VALUES_MAX: usize = 40;

/// The rows of the page that speak of a metric.
fn documented(page: &str) -> BTreeSet<String> {
    page.lines().filter(|text| text.starts_with("| `")).map(str::to_owned).collect()
}

/// The rows as they should be.
fn expected(shown: &Shown) -> BTreeSet<String> {
    let all = merged(shown);
    let row = |(name, metric): (&String, &Metric)| {
        let has_it = |service: &&&str| shown[**service].contains_key(name);
        let places: Vec<&str> = shown.keys().filter(|place| has_it(place)).copied().collect();
        let places = if places.len() == shown.len() { "all".to_owned() } else { places.join(", ") };
        let labels: Vec<String> = metric.labels.iter().map(|text| format!("`{text}`")).collect();
        let (kind, help) = (&metric.kind, &metric.help);
        format!("| `{name}` | {kind} | {} | {places} | {help} |", labels.join(", "))
    };
    all.iter().map(row).collect()
}

/// Each metric with all that any service shows of it.
pub(super) fn merged(shown: &Shown) -> BTreeMap<String, Metric> {
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    for (name, metric) in shown.values().flatten() {
        let one = all.entry(name.clone()).or_insert_with(|| metric.clone());
        one.labels.extend(metric.labels.iter().cloned());
        for (label, values) in &metric.values {
            one.values.entry(label.clone()).or_default().extend(values.iter().cloned());
        }
    }
    all
}

/// Whether the page says what is shown, no less and no more.
pub(super) fn says(page: &str, shown: &Shown) -> bool {
    documented(page) == expected(shown)
}

/// Fails, with the rows as they should be, if the page does not say what is shown.
pub(super) fn assert_says(page: &str, shown: &Shown) {
    let (documented, expected) = (documented(page), expected(shown));
    let list = |rows: Vec<&String>| rows.into_iter().cloned().collect::<Vec<_>>().join("\n");
    let missing = list(expected.difference(&documented).collect());
    let wrong = list(documented.difference(&expected).collect());
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/metrics.md lacks\n{missing}\nand should not say\n{wrong}"
    );
}

/// Each number says what it is, and no label tells one thing of many apart.
pub(super) fn assert_decent(shown: &Shown) {
    for (name, metric) in merged(shown) {
        assert!(!metric.kind.is_empty(), "{name} has no TYPE");
        assert!(metric.help.ends_with('.'), "{name} has no HELP that is a sentence");
        assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
        for (label, values) in &metric.values {
            assert!(values.len() <= VALUES_MAX, "{name} has {} of {label}", values.len());
            let long = values.iter().find(|value| looks_like_an_id(value));
            assert!(long.is_none(), "{name}: {label} is {long:?}");
        }
    }
}

/// A UUID, an address, a number of many digits.
fn looks_like_an_id(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    digits >= 6 || value.contains('@')
}

#[test]
fn a_row_that_is_missing_or_wrong_is_found() {
    let metric = Metric { kind: "counter".into(), help: "What.".into(), ..Metric::default() };
    let shown = Shown::from([
        ("x-service", BTreeMap::from([("a_total".to_owned(), metric.clone())])),
        ("y-service", BTreeMap::from([("b_total".to_owned(), metric)])),
    ]);
    let rows = [
        "| `a_total` | counter |  | x-service | What. |",
        "| `b_total` | counter |  | y-service | What. |",
    ];
    assert_says(&rows.join("\n"), &shown);
    let fails = |page: String| std::panic::catch_unwind(|| assert_says(&page, &shown)).is_err();
    assert!(fails(rows[0].to_owned()));
    assert!(fails(rows.join("\n").replace("y-service", "all")));
    assert!(fails(format!("{}\n| `c` | gauge |  | all | What. |", rows.join("\n"))));
}

#[test]
fn an_id_is_told_from_a_word() {
    assert!(looks_like_an_id("0199f2c0-7d1e-7c3a-9d6a-1f2e3d4c5b6a"));
    assert!(looks_like_an_id("ada@example.org"));
    assert!(!looks_like_an_id("/orders/{id}"));
    assert!(!looks_like_an_id("503"));
}
