//! Each kind of problem that a service answers has a page that explains it.

use std::collections::BTreeSet;

use super::{Sin, assert_none, tree::File};

/// The codes of the kinds of problems that a file defines, each with its place: by
/// `ProblemType { code: "…"`, or by a row `NAME = STATUS "…"` of the table in `shared`.
fn codes(file: &File) -> Vec<(usize, &str)> {
    if file.is_test() || !file.path.contains("/src/") {
        return vec![];
    }
    let code = file.code();
    let literal = code.match_indices("ProblemType {").filter_map(|(at, begin)| {
        let body = code[at + begin.len()..].split('}').next()?;
        let field = body.find("code: \"")? + "code: \"".len();
        Some(at + begin.len() + field)
    });
    let table = code.find("problem_types! {").map(|at| (at, &code[at..])).into_iter();
    let rows = table.flat_map(|(begin, table)| {
        let ends = table.find("\n}").unwrap_or(table.len());
        let rows = table[..ends].match_indices(" = ");
        rows.filter_map(|(at, _)| Some(begin + at + table[at..].find('"')? + 1)).collect::<Vec<_>>()
    });
    literal
        .chain(rows)
        .filter_map(|at| Some((at, file.text[at..].split('"').next()?)))
        // The pattern by which the table is read, not a row of it.
        .filter(|(_, code)| !code.is_empty() && code.bytes().all(|byte| byte != b'$'))
        .collect()
}

fn unexplained(file: &File, pages: &BTreeSet<String>) -> Vec<Sin> {
    let missing = codes(file).into_iter().filter(|(_, code)| !pages.contains(*code));
    missing.map(|(at, code)| file.sin(at, format!("docs/errors/{code}.md is missing"))).collect()
}

/// The pages that are there, by their codes.
fn pages(files: &[File]) -> BTreeSet<String> {
    let pages = files.iter().filter_map(|file| file.path.strip_prefix("docs/errors/"));
    pages.filter_map(|text| text.strip_suffix(".md")).map(str::to_owned).collect()
}

#[test]
fn every_problem_has_its_page() {
    let pages = pages(&File::all("md"));
    let files = File::all("rs");
    let known: BTreeSet<&str> = files.iter().flat_map(codes).map(|(_, code)| code).collect();
    for kind in shared::http::problem::ALL {
        assert!(known.contains(kind.code), "{} is not found by this test", kind.code);
    }
    let sins: Vec<Sin> = files.iter().flat_map(|file| unexplained(file, &pages)).collect();
    assert_none("a problem's `type` leads to a page that says what to do about it", &sins);
}

#[test]
fn every_page_explains_a_problem() {
    let files = File::all("rs");
    let known: BTreeSet<&str> = files.iter().flat_map(codes).map(|(_, code)| code).collect();
    let orphans = pages(&File::all("md")).into_iter().filter(|text| !known.contains(text.as_str()));
    let about =
        |code| File::planted(&format!("docs/errors/{code}.md"), "").sin(0, "no such problem");
    let sins: Vec<Sin> = orphans.filter(|text| text != "README").map(about).collect();
    assert_none("a page that no problem leads to is read by nobody", &sins);
}

#[test]
fn a_problem_without_a_page_is_found() {
    let known = pages(&[File::planted("docs/errors/known.md", "")]);
    let of = |text: &str| -> Vec<usize> {
        let file = File::planted("order-service/src/http/problem.rs", text);
        unexplained(&file, &known).into_iter().map(|sin| sin.line).collect()
    };
    let literal = |code| format!("const A: ProblemType = ProblemType {{\n code: \"{code}\" }};");
    assert!(of(&literal("known")).is_empty());
    assert_eq!(of(&literal("unknown")), [2]);
    let table =
        "problem_types! {\n/// It.\nA = OK \"known\" \"a title\";\nB = OK \"unknown\"\n\"t\";\n}";
    assert_eq!(of(table), [4]);
    assert!(of("FieldError { code: \"unknown\" }").is_empty());
}
