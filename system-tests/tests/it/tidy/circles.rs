//! No two files import each other in a circle.
//!
//! An edge leads from a file that uses a name, in a `use` or by a path, to the file that defines it:
//! * An import of a re-exported name leads to where the name is defined. A re-export (`pub use`) is no
//!   edge itself, unless its file uses the name too.
//! * Naming a module is no edge; naming an item in it is.
//! * What a file takes from the modules that it is part of is no edge: Rust shows it their private
//!   items, and they are read together. What a parent takes from its children is one.
//! * Test code does not count.

use std::collections::{BTreeMap, BTreeSet};

use self::workspace::{Edges, Workspace};
use super::tree::File;

mod source;
mod workspace;

/// The files that can be reached from each.
fn reachable(edges: &Edges) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        next.entry(from).or_default().push(to);
    }
    let reach = |from: &&str| {
        let mut reached = BTreeSet::new();
        let mut open = next[from].clone();
        while let Some(file) = open.pop() {
            if reached.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        reached
    };
    next.keys().map(|from| (*from, reach(from))).collect()
}

/// The circles, each as the imports between its files.
fn circles(files: &[File]) -> Vec<String> {
    let edges = Workspace::read(files).edges();
    let reachable = reachable(&edges);
    let leads_back =
        |from: &str, to: &str| reachable.get(to).is_some_and(|files| files.contains(from));
    let groups: BTreeSet<Vec<&str>> = reachable
        .iter()
        .map(|(file, reached)| {
            reached.iter().copied().filter(|next| leads_back(file, next)).collect()
        })
        .filter(|group: &Vec<&str>| group.len() > 1)
        .collect();
    let inside = |group: &Vec<&str>| {
        let inside = edges.iter().filter(|((from, to), _)| {
            group.contains(&from.as_str()) && group.contains(&to.as_str())
        });
        let line = |((from, to), names): (&(String, String), &BTreeSet<String>)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("  {from} -> {to}: {}", names.join(", "))
        };
        format!("{} files:\n{}", group.len(), inside.map(line).collect::<Vec<_>>().join("\n"))
    };
    groups.iter().map(inside).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&File::all("rs"));
    assert!(
        circles.is_empty(),
        "files of a circle can only be read, tried and moved together: move what they share into a \
         file of its own\n{}",
        circles.join("\n")
    );
}

/// The circles of a crate that has these modules, by file name.
fn planted(modules: &[(&str, &str)]) -> Vec<String> {
    let tops = modules.iter().map(|(path, _)| *path).filter(|path| !path.contains('/'));
    let declared: Vec<String> = tops.map(|path| format!("pub mod {path};")).collect();
    let mut files = vec![File::planted("a-b/src/lib.rs", &declared.concat())];
    let module = |(path, text): &(&str, &str)| File::planted(&format!("a-b/src/{path}.rs"), text);
    files.extend(modules.iter().map(module));
    circles(&files)
}

#[test]
fn circles_of_every_kind_are_found() {
    let kinds: [&[(&str, &str)]; 10] = [
        // By `use`; nested, renamed, in a function.
        &[("a", "use crate::b::B; pub struct A;"), ("b", "use super::a::A; pub struct B;")],
        &[
            ("a", "use crate::{b::{self as c, B as D}, e}; pub struct A;"),
            ("b", "fn b() { use crate::a::A; } pub struct B;"),
            ("e", ""),
        ],
        // By path; from an imported module.
        &[("a", "fn a() -> crate::b::B { todo!() }"), ("b", "pub struct B(Vec<super::a::A>);")],
        &[("a", "use crate::b; pub fn a() { b::b() }"), ("b", "pub fn b() { crate::a::a() }")],
        // By re-export: c stands between, and imports nothing back.
        &[
            ("a", "use crate::c::B; pub struct A;"),
            ("b", "use crate::a::A; pub struct B;"),
            ("c", "pub use crate::b::B;"),
        ],
        // Three files.
        &[
            ("a", "use crate::b::B; pub struct A;"),
            ("b", "use crate::c::C; pub struct B;"),
            ("c", "use crate::a::A; pub struct C;"),
        ],
        // With a child: a parent's own name is not looked for in its children.
        &[
            ("a", "mod d; pub use self::d::D; use crate::b::B; pub fn a(b: B) { d::d(b) }"),
            ("a/d", "use crate::b::B; pub struct D; pub fn d(b: B) {}"),
            ("b", "use crate::a::{a, D}; pub struct B;"),
        ],
        // By a function that is called like its module.
        &[
            ("a", "mod d; pub use self::d::d;"),
            ("a/d", "pub fn d() { crate::b::b() }"),
            ("b", "use crate::a::d; pub fn b() { d() }"),
        ],
        // By everything that a module has.
        &[("a", "use crate::b::*; pub struct A;"), ("b", "use crate::a::A; pub struct B;")],
        &[
            ("a", "use crate::b::*; pub struct A;"),
            ("b", "pub use crate::c::*; use crate::a::A; pub struct B;"),
            ("c", ""),
        ],
    ];
    for kind in kinds {
        assert_eq!(planted(kind).len(), 1, "{kind:?}: {:?}", planted(kind));
    }
}

#[test]
fn what_is_no_circle_is_not_reported() {
    let kinds: [&[(&str, &str)]; 7] = [
        &[("a", "use crate::b::B;"), ("b", "pub struct B;")],
        // A child takes from its parent, and a sibling's name through it.
        &[
            ("a", "mod d; mod e; pub use self::{d::D, e::E}; pub struct A; fn a() { d::d() }"),
            ("a/d", "use super::{A, E}; pub struct D; pub fn d() {}"),
            ("a/e", "use super::A; pub struct E;"),
        ],
        // Modules that are named, not used.
        &[("a", "use crate::b; pub struct A;"), ("b", "use crate::a::A;")],
        // Tests.
        &[
            ("a", "#[cfg(test)] mod tests { use crate::b::B; } pub struct A;"),
            ("b", "use crate::a::A; pub struct B; #[test] fn b() {} "),
        ],
        &[
            ("a", "#[cfg(test)] mod laws; pub struct A;"),
            ("a/laws", "use crate::b::B;"),
            ("b", "use crate::a::A; pub struct B;"),
        ],
        // A module of ours that is called like another crate.
        &[("a", "use crate::b; pub struct A(::b::B);"), ("b", "use crate::a::A; pub struct B;")],
        // The same name elsewhere: of another crate, in a comment, in a text, of a type's own.
        &[
            ("a", "use b::B; pub struct A; // crate::b::B\nconst C: &str = \"crate::b::B\";"),
            ("b", "use crate::a::A; pub struct B; fn b() { A::b::<A>().a::<A>() }"),
        ],
    ];
    for kind in kinds {
        assert_eq!(planted(kind), Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn a_circle_is_reported_with_its_files_and_names_across_crates() {
    let files = [
        File::planted("tools/a-b/src/lib.rs", "mod a;"),
        File::planted("tools/a-b/src/a.rs", "pub use c::C; use c::{b, D}; pub fn a() { b::e() }"),
        File::planted("c/src/lib.rs", "pub mod b; pub use self::b::{C, D};"),
        File::planted("c/src/b.rs", "pub struct C; pub struct D; pub fn e() { a_b::a::a() }"),
        File::planted("c/src/main.rs", "mod f; mod g; use c::D; fn main() { a_b::a::a() }"),
        File::planted("c/src/f.rs", "pub struct F(crate::g::G);"),
        File::planted("c/src/g.rs", "pub struct G(crate::f::F);"),
    ];
    let across =
        "2 files:\n  c/src/b.rs -> tools/a-b/src/a.rs: a\n  tools/a-b/src/a.rs -> c/src/b.rs: D, e";
    let of_main = "2 files:\n  c/src/f.rs -> c/src/g.rs: G\n  c/src/g.rs -> c/src/f.rs: F";
    assert_eq!(circles(&files), [across, of_main]);
}

#[test]
fn every_package_is_called_like_its_folder() {
    for manifest in File::all("toml").iter().filter(|file| file.text.starts_with("[package]")) {
        let folder = manifest.path.rsplit('/').nth(1).unwrap();
        let name = format!("name = \"{folder}\"");
        assert!(manifest.text.contains(&name), "{} needs {name}", manifest.path);
    }
}
