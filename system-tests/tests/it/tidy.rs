//! Rules of this code base that the compiler and its lints do not check. Each failure names the
//! rule, the place and the reason for the rule; each rule is itself tested on a planted violation.

use std::fmt;

mod builds;
mod circles;
mod contract;
mod counts;
mod crates;
mod names;
mod problems;
mod purity;
mod repository;
mod shape;
mod size;
mod sql;
mod tree;
mod vocabulary;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Sin {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Sin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Fails, naming every place, if there is any.
#[track_caller]
fn assert_none(rule: &str, sins: &[Sin]) {
    let list: Vec<String> = sins.iter().map(Sin::to_string).collect();
    assert!(list.is_empty(), "{rule}\n{}", list.join("\n"));
}
