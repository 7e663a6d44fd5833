//! Every file has a meaningful name and begins with a line that says what it contains.

use super::{Sin, assert_none, tree::File};

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
