//! Programs and tests are one build: a dependency that tests want with other features than programs
//! would be compiled twice, and everything above it.

use std::{collections::BTreeSet, process::Command};

use super::tree::root;

/// Each dependency with its features, as cargo compiles it for these kinds of dependencies.
fn compiled(kinds: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--workspace", "--locked", "--edges", kinds]);
    cargo.args(["--prefix", "none", "--no-dedupe", "--format", "{p} {f}"]).current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Dependencies that are compiled differently for programs and for tests.
fn twice(programs: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<String> {
    programs.difference(tests).cloned().collect()
}

#[test]
fn no_dependency_is_compiled_once_for_programs_and_once_more_for_tests() {
    let (programs, tests) = (compiled("normal,build"), compiled("normal,build,dev"));
    assert!(programs.len() > 100, "{programs:#?}");
    assert_eq!(
        twice(&programs, &tests),
        Vec::<String>::new(),
        "tests add features: give them to the dependency in Cargo.toml, for programs, too"
    );
}

#[test]
fn a_dependency_that_tests_want_otherwise_is_found() {
    let of = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let (programs, tests) = (of(&["rand v1 std", "serde v1"]), of(&["rand v1 std,x", "serde v1"]));
    assert_eq!(twice(&programs, &tests), ["rand v1 std"]);
}
