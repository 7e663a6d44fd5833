//! One shape for four services: the same files, and in them the functions of the table in
//! ARCHITECTURE.md, with the same signatures.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Sin, assert_none,
    tree::{File, SERVICES, root},
};

/// The tables of ARCHITECTURE.md.
struct ServiceShape {
    /// The files that every service has.
    files: BTreeSet<String>,
    /// A file and a signature that it has.
    signatures: Vec<(String, String)>,
    /// What a word of the signatures stands for, in the order of [`SERVICES`].
    words: BTreeMap<String, Vec<String>>,
}

/// The cells of a row of a table, without the marks of code.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split(" |").map(|cell| cell.trim().replace('`', "")).collect()
}

impl ServiceShape {
    fn read(text: &str) -> Self {
        let table = |head: &str| -> Vec<Vec<String>> {
            let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
            rows.take_while(|line| line.starts_with('|')).map(cells).collect()
        };
        let signatures = table("| file | signature |").into_iter().map(|mut row| {
            let signature = row.remove(1);
            (row.remove(0), signature)
        });
        let words = table("| | order-service | inventory-service").into_iter().map(|mut row| {
            let word = row.remove(0);
            (word, row)
        });
        // Jobs are named by the services that have some; `lib.rs` only lists modules.
        let files = table("| file | what it does").into_iter().map(|mut row| row.remove(0));
        let files = files.map(|name| name.replace("/…", ".rs")).filter(|name| name != "jobs.rs");
        Self {
            files: files.chain(["lib.rs".to_owned()]).collect(),
            signatures: signatures.collect(),
            words: words.collect(),
        }
    }

    /// The cell of a service in the row of this name.
    fn cell(&self, row: &str, service: usize) -> &str {
        self.words.get(row).and_then(|cells| cells.get(service)).map_or("", String::as_str)
    }

    /// A signature with a service's own types in it.
    fn of_service(&self, signature: &str, service: usize) -> String {
        let mut text = format!(" {signature} ");
        for word in ["Request", "Input", "Event", "Rows", "KEY"] {
            let own = self.cell(word, service);
            for (before, after) in [("[", "]"), ("&", ","), ("&", ")"), ("<", ","), (" ", ">")] {
                let (from, to) =
                    (format!("{before}{word}{after}"), format!("{before}{own}{after}"));
                text = text.replace(&from, &to);
            }
            text = text.replace(&format!(" {word} "), &format!(" {own} "));
        }
        normal(&text)
    }

    /// The files at the top of a service's source.
    fn files(&self, service: usize) -> BTreeSet<String> {
        let named = |row| -> BTreeSet<String> {
            let text = self.cell(row, service);
            let names = text.split([',', ':']).map(str::trim);
            names.filter(|name| name.strip_suffix(".rs").is_some()).map(str::to_owned).collect()
        };
        let missing = named("not here");
        let usual = self.files.iter().filter(|name| !missing.contains(*name)).cloned();
        usual.chain(named("only here")).collect()
    }
}

/// A text without what formatting and visibility change.
fn normal(text: &str) -> String {
    let text = text.replace("pub(crate)", "pub").split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace("( ", "(").replace(", )", ")").replace(" )", ")").replace(",)", ")")
}

/// Whether code has a signature, and not only one that begins like it.
fn has(code: &str, signature: &str) -> bool {
    let is_inside = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(signature)
        .any(|(at, _)| !code[at + signature.len()..].starts_with(is_inside))
}

/// What a service's files lack of its shape.
fn deviations(files: &[File], shape: &ServiceShape) -> Vec<Sin> {
    let mut found = Vec::new();
    for (place, service) in SERVICES.into_iter().enumerate() {
        let own: BTreeMap<&str, &File> = files
            .iter()
            .filter(|file| file.path.starts_with(service))
            .filter_map(|file| Some((file.in_service()?, file)))
            .collect();
        let at =
            |name: &str, what: String| Sin { path: format!("{service}/src/{name}"), line: 1, what };
        let expected = shape.files(place);
        let top: BTreeSet<String> =
            own.keys().filter(|name| !name.contains('/')).map(|name| (*name).to_owned()).collect();
        found.extend(expected.difference(&top).map(|name| at(name, "it is missing".to_owned())));
        found.extend(top.difference(&expected).map(|name| {
            at(name, "only this service has it: say so in ARCHITECTURE.md".to_owned())
        }));
        for (name, signature) in &shape.signatures {
            let Some(file) = own.get(name.as_str()) else { continue };
            let wanted = shape.of_service(signature, place);
            if !has(&normal(&file.code()), &wanted) {
                found.push(at(name, format!("it has no `{wanted}`")));
            }
        }
    }
    found
}

fn shape() -> ServiceShape {
    ServiceShape::read(&std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap())
}

#[test]
fn four_services_have_one_shape() {
    let shape = shape();
    assert!(
        shape.signatures.len() > 10 && shape.words.len() > 5 && shape.files.len() > 10,
        "the tables are not found"
    );
    let sins = deviations(&File::all("rs"), &shape);
    assert_none("a reader who knows one service knows the others", &sins);
}

#[test]
fn a_service_of_another_shape_is_found() {
    let shape = shape();
    let with = |change: &dyn Fn(File) -> Option<File>| {
        let files: Vec<File> = File::all("rs").into_iter().filter_map(change).collect();
        deviations(&files, &shape).len()
    };
    assert_eq!(with(&|file| Some(file)), 0);
    let changed = |path: &'static str, from: &'static str, to: &'static str| {
        with(&move |file: File| {
            let text = if file.path == path { file.text.replace(from, to) } else { file.text };
            Some(File { text, ..file })
        })
    };
    assert_eq!(changed("order-service/src/store.rs", "load_for_update", "load"), 1);
    assert_eq!(changed("notify-service/src/wire.rs", "fn encode", "fn message"), 1);
    assert_eq!(changed("payment-service/src/app.rs", "struct App", "struct Application"), 1);
    assert_eq!(changed("inventory-service/src/app.rs", "requests: &[Stock", "batch: &[Stock"), 1);
    assert_eq!(with(&|file| (file.path != "payment-service/src/request.rs").then_some(file)), 1);
    let renamed = |file: File| {
        let is_metrics = file.path == "order-service/src/metrics.rs";
        let path = if is_metrics { "order-service/src/numbers.rs".to_owned() } else { file.path };
        Some(File { path, ..file })
    };
    assert_eq!(with(&renamed), 2);
}
