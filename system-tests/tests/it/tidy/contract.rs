//! One file of each service knows both the contract and the domain, and the contract explains
//! itself.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// The records: every public type of the contract's files that derives how it is written.
fn records(contract: &[File]) -> BTreeSet<String> {
    let files = contract.iter().filter(|file| file.path.starts_with("contract/src/"));
    let shipped = files.filter(|file| !file.is_test() && file.name() != "samples.rs");
    shipped
        .flat_map(|file| {
            let code = file.code();
            let types = code.match_indices("pub struct ").chain(code.match_indices("pub enum "));
            let names = types.filter_map(|(at, begin)| {
                words(&code[at + begin.len()..]).next().map(|(_, text)| text.to_owned())
            });
            names.collect::<Vec<_>>()
        })
        .collect()
}

fn knows_the_records(file: &File, records: &BTreeSet<String>) -> Vec<Sin> {
    let may = |path: &str| path == "wire.rs" || path.starts_with("wire/");
    if file.is_test() || file.in_service().is_none_or(may) {
        return vec![];
    }
    let code = file.code();
    code.match_indices("contract::")
        .flat_map(|(at, path)| {
            let rest = &code[at + path.len()..];
            let named = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default(),
                None => rest.split([',', ';', '}', ')', '>']).next().unwrap_or_default(),
            };
            let all = named.contains('*').then_some("*");
            let some = words(named).map(|(_, text)| text).filter(|word| records.contains(*word));
            let sin = |text: &str| file.sin(at, format!("`{text}` of the contract is used here"));
            all.into_iter().chain(some).map(sin).collect::<Vec<_>>()
        })
        .collect()
}

/// The named types and fields of a schema that say nothing of themselves.
fn undocumented(schema: &Value, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    match schema {
        Value::Array(union) => {
            found.extend(union.iter().flat_map(|value| undocumented(value, name)));
        }
        Value::Object(parts) => {
            let has_doc =
                parts.get("doc").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            let own = parts.get("name").and_then(Value::as_str).unwrap_or(name);
            if matches!(parts.get("type").and_then(Value::as_str), Some("record" | "enum"))
                && !has_doc
            {
                found.push(own.to_owned());
            }
            for field in parts.get("fields").and_then(Value::as_array).into_iter().flatten() {
                let path = format!("{own}.{}", field["name"].as_str().unwrap_or("?"));
                if field["doc"].as_str().is_none_or(str::is_empty) {
                    found.push(path.clone());
                }
                found.extend(undocumented(&field["type"], &path));
            }
            for inner in ["items", "values"] {
                found.extend(
                    parts.get(inner).into_iter().flat_map(|record| undocumented(record, name)),
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

#[test]
fn only_the_wire_knows_the_records() {
    let files = File::all("rs");
    let records = records(&files);
    assert!(records.contains("OrderPlaced"), "{records:?}");
    let sins: Vec<Sin> = files.iter().flat_map(|file| knows_the_records(file, &records)).collect();
    assert_none("a new field of a message changes one file of a service", &sins);
}

#[test]
fn every_record_and_field_says_what_it_is() {
    let sins: Vec<Sin> = File::all("avsc")
        .iter()
        .flat_map(|file| {
            let schema: Value = serde_json::from_str(&file.text).unwrap();
            let sin = |text| file.sin(0, format!("{text} has no doc"));
            undocumented(&schema, "?").into_iter().map(sin).collect::<Vec<_>>()
        })
        .collect();
    assert_none("a reader of a topic has no other documentation", &sins);
}

#[test]
fn a_record_outside_the_wire_is_found() {
    let contract = [File::planted("contract/src/a.rs", "pub struct OrderPlaced { }")];
    let records = records(&contract);
    let sins = |path, text| knows_the_records(&File::planted(path, text), &records).len();
    for sin in [
        "use contract::OrderPlaced;",
        "use contract::{OrderPlaced, source};",
        "let a: Vec<contract::OrderPlaced> = vec![];",
        "use contract::*;",
    ] {
        assert_eq!(sins("order-service/src/app.rs", sin), 1, "{sin}");
        assert_eq!(sins("order-service/src/wire.rs", sin), 0, "{sin}");
        assert_eq!(sins("order-service/tests/it/app.rs", sin), 0, "{sin}");
    }
    let innocent = "contract::source(\"a\"); Event::OrderPlaced";
    assert_eq!(sins("order-service/src/app.rs", innocent), 0);
}

#[test]
fn a_field_without_a_doc_is_found() {
    let schema = serde_json::json!({
        "type": "record", "name": "A", "doc": "What it is.", "fields": [
            { "name": "one", "doc": "One.", "type": "string" },
            { "name": "two", "type": "string" },
            { "name": "three", "doc": "Three.", "type": ["null", { "type": "array", "items": {
                "type": "record", "name": "B", "fields": [{ "name": "four", "type": "int" }] } }] },
        ],
    });
    assert_eq!(undocumented(&schema, "?"), ["A.two", "B", "B.four"]);
}
