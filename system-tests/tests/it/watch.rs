//! Monitoring: the metrics of a cluster, the page that explains them, dashboards, alerts and
//! runbooks. All of them must name the same metrics, and a cluster must export these.

mod alerts;
mod dashboards;
mod exposition;
mod lines;
mod live;
mod page;
mod promql;
mod query;

/// A file of the repository.
fn file(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder that end like this, by their names without the ending.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let path = format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter_map(|name| {
            let text = file(&format!("{folder}/{name}"));
            Some((name.strip_suffix(ending)?.to_owned(), text))
        })
        .collect();
    files.sort();
    files
}
