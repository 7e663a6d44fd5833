//! Every file has a meaningful name and begins with a line that says what it contains; a closure's
//! argument is called after what it is.

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// Names that say nothing.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "misc", "shared", "types", "prelude"];

fn says_nothing(file: &File) -> Option<Sin> {
    let name = file.name().trim_end_matches(".rs");
    let what = if name == "mod" {
        "`mod.rs`: a module is called by its name, as in `name.rs` and `name/`"
    } else if EMPTY_NAMES.contains(&name) {
        "a name that fits anything says nothing: what is in it?"
    } else if !file.is_test() && !file.text.starts_with("//! ") {
        "it does not begin with `//! `"
    } else {
        return None;
    };
    Some(file.sin(0, what))
}

#[test]
fn every_module_says_what_it_is() {
    let sins: Vec<Sin> = File::all("rs").iter().filter_map(says_nothing).collect();
    assert_none("a reader opens a file for its name and stays for its first line", &sins);
}

#[test]
fn a_module_that_says_nothing_is_found() {
    let is_sin = |path, text| says_nothing(&File::planted(path, text)).is_some();
    assert!(is_sin("a/src/b/mod.rs", "//! What it is."));
    assert!(is_sin("a/src/utils.rs", "//! What it is."));
    assert!(is_sin("a/tests/it/helpers.rs", "//! What it is."));
    assert!(is_sin("a/src/b.rs", "use std::fmt;"));
    assert!(is_sin("a/src/b.rs", "//!\n//! What it is."));
    assert!(!is_sin("a/src/b.rs", "//! What it is."));
    assert!(!is_sin("a/src/b/tests.rs", "use super::*;"));
    assert!(!is_sin("a/tests/it/b.rs", "use super::*;"));
}

/// The arguments of closures that are called `it`, alone or in a pattern.
fn nameless_arguments(file: &File) -> Vec<Sin> {
    let code = file.code();
    let is_argument = |at: usize| {
        let before = code[..at].trim_end_matches(['&', '*', ' ']);
        let before = before.strip_suffix("mut").map_or(before, str::trim_end);
        let after = code[at + "it".len()..].trim_start();
        let begins = before.ends_with('|') || before.ends_with("|(") || before.ends_with(',');
        begins && after.starts_with(['|', ':', ')', ',']) && closes(before, after)
    };
    words(&code)
        .filter(|(at, word)| *word == "it" && is_argument(*at))
        .map(|(at, _)| file.sin(at, "a closure's argument is called `it`: what is it?"))
        .collect()
}

/// Whether both sides of an argument are within one pair of bars, on one line.
fn closes(before: &str, after: &str) -> bool {
    let (line, rest) =
        (before.rsplit('\n').next().unwrap_or(before), after.split('\n').next().unwrap_or(after));
    line.matches('|').count() % 2 == 1 && rest.contains('|')
}

#[test]
fn no_argument_of_a_closure_is_called_it() {
    let sins: Vec<Sin> = File::all("rs").iter().flat_map(nameless_arguments).collect();
    assert_none("a reader has to know what a closure is given", &sins);
}

#[test]
fn an_argument_called_it_is_found() {
    let count = |text| nameless_arguments(&File::planted("a/src/b.rs", text)).len();
    for sin in [
        "names.map(|it| it.len())",
        "names.filter(|&&it| it > 1)",
        "let line = |it: &str| it.len();",
        "names.map(|(_, it)| it)",
        "names.map(|(it, n)| it + n)",
        "names.for_each(|mut it| it.clear())",
    ] {
        assert_eq!(count(sin), 1, "{sin}");
    }
    for innocent in [
        "names.map(|name| it(name))",
        "// |it|",
        "mod it; use it::them;",
        "if a || it { b(it, c) }",
    ] {
        assert_eq!(count(innocent), 0, "{innocent}");
    }
}
