//! A page of metrics, as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// A metric on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metric {
    /// `counter`, `gauge` or `histogram`; empty if it is not said.
    pub(super) kind: String,
    /// Its line of help; empty if there is none.
    pub(super) help: String,
    /// The names of its labels, but for the bounds of buckets.
    pub(super) labels: BTreeSet<String>,
    /// The value of each label that is too long or too many to be one of a few words.
    pub(super) values: BTreeMap<String, BTreeSet<String>>,
}

/// All metrics of a page, by name.
pub(super) fn read(page: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in page.lines().filter(|text| !text.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            help.clone_into(&mut metrics.entry(name.to_owned()).or_default().help);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().kind);
        } else {
            let (name, labels) = series(line);
            let family = family(&metrics, name).to_owned();
            let metric = metrics.entry(family).or_default();
            for (label, value) in labels.into_iter().filter(|(label, _)| *label != "le") {
                metric.labels.insert(label.to_owned());
                metric.values.entry(label.to_owned()).or_default().insert(value.to_owned());
            }
        }
    }
    metrics
}

/// The value of a series on a page.
pub(super) fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|text| text.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

/// The metric of which a series is a part: histograms have three sorts of series.
pub(super) fn family<'n>(metrics: &BTreeMap<String, Metric>, name: &'n str) -> &'n str {
    let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|text| name.strip_suffix(text));
    let histogram =
        |text: &&str| metrics.get(*text).is_some_and(|metric| metric.kind == "histogram");
    parts.into_iter().find(histogram).unwrap_or(name)
}

/// A line's name and its labels.
fn series(line: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap(), vec![]);
    };
    let labels = rest.rsplit_once('}').unwrap().0;
    // No value here has a comma and a quote in it.
    let pairs = labels.split("\",").filter_map(|text| text.split_once("=\""));
    (name, pairs.map(|(label, value)| (label, value.trim_end_matches('"'))).collect())
}

#[test]
fn a_page_is_read_with_help_kinds_and_labels() {
    let page = "# HELP a What a is.\n# TYPE a counter\na{x=\"1\",y=\"b c\"} 3\n\n# TYPE d histogram\n\
                d_bucket{x=\"1\",le=\"0.5\"} 1\nd_sum{x=\"1\"} 2\nd_count{x=\"1\"} 1\ne 5\n";
    let metrics = read(page);
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["a", "d", "e"]);
    assert_eq!((&*metrics["a"].kind, &*metrics["a"].help), ("counter", "What a is."));
    assert_eq!(metrics["a"].values["y"], BTreeSet::from(["b c".to_owned()]));
    assert_eq!(metrics["d"].labels, BTreeSet::from(["x".to_owned()]));
    assert_eq!(metrics["e"], Metric::default());
}
