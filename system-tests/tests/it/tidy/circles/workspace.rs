//! The modules of all crates, and where the names that they use are defined.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::tree::File,
    source::{Import, Source},
};

/// A name that is re-exported more often than this is taken for unknown.
const RE_EXPORTS_MAX: usize = 16;

/// A file, the file that it imports from, and the names.
pub(super) type Edges = BTreeMap<(String, String), BTreeSet<String>>;

/// The product code of a workspace.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// By crate and path, as in `shared::jobs::store`.
    modules: BTreeMap<String, Module>,
}

#[derive(Debug)]
struct Module {
    file: String,
    source: Source,
}

/// The target of a path.
#[derive(Clone, Debug)]
enum Found {
    Module(String),
    /// An item, by the module that defines it.
    Item(String),
}

impl Workspace {
    /// Reads every file that a `lib.rs` or a `main.rs` leads to.
    pub(super) fn read(files: &[File]) -> Self {
        let files: BTreeMap<&str, &File> =
            files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut workspace = Self::default();
        for path in files.keys() {
            if let Some(folder) = path.strip_suffix("/src/lib.rs") {
                workspace.add(&files, path, crate_name(folder), &format!("{folder}/src"));
            } else if let Some(folder) = path.strip_suffix("/src/main.rs") {
                let name = format!("{} (main)", crate_name(folder));
                workspace.add(&files, path, name, &format!("{folder}/src"));
            }
        }
        workspace
    }

    /// Adds a module and those that it declares.
    fn add(&mut self, files: &BTreeMap<&str, &File>, path: &str, name: String, folder: &str) {
        let Some(file) = files.get(path) else { return };
        let source = Source::read(file);
        for child in &source.children {
            let inner = format!("{folder}/{child}");
            self.add(files, &format!("{inner}.rs"), format!("{name}::{child}"), &inner);
        }
        self.modules.insert(name, Module { file: path.to_owned(), source });
    }

    /// Which file takes which names from which.
    pub(super) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (name, module) in &self.modules {
            let source = &module.source;
            let is_used =
                |import: &&Import| !import.is_public || source.names.contains(&import.name);
            let imported = source.imports.iter().filter(is_used).map(|import| &import.path);
            for path in imported.chain(&source.paths) {
                let Some(Found::Item(defined)) = self.resolve(name, path, 0) else { continue };
                let file = &self.modules[&defined].file;
                if !is_inside(name, &defined) {
                    let edge = edges.entry((module.file.clone(), file.clone())).or_default();
                    edge.insert(self.item_name(name, path));
                }
            }
        }
        edges
    }

    /// The name in a path that stands for an item: the first that leads to no module.
    fn item_name(&self, scope: &str, path: &[String]) -> String {
        let is_module = |length: &usize| {
            matches!(self.resolve(scope, &path[..*length], 0), Some(Found::Module(_)))
        };
        let modules = (1..path.len()).take_while(is_module).count();
        path[modules].clone()
    }

    /// Where a path leads that is used in this module; nowhere if it leaves the workspace.
    fn resolve(&self, scope: &str, path: &[String], depth: usize) -> Option<Found> {
        if depth > RE_EXPORTS_MAX {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let root = scope.split("::").next()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(root.to_owned()),
            "self" => Found::Module(scope.to_owned()),
            "super" => Found::Module(parent(scope)?),
            name => match self.look_up(scope, name, !rest.is_empty(), depth) {
                Some(found) => found,
                None if self.modules.contains_key(name) => Found::Module(name.to_owned()),
                None => return None,
            },
        };
        for (at, name) in rest.iter().enumerate() {
            let Found::Module(module) = &found else { break };
            found = match name.as_str() {
                "super" => Found::Module(parent(module)?),
                // All that a module has counts as defined there.
                "*" => Found::Item(module.clone()),
                // What is not seen is made by a macro.
                _ => self
                    .look_up(module, name, at + 1 < rest.len(), depth)
                    .unwrap_or_else(|| Found::Item(module.clone())),
            };
        }
        Some(found)
    }

    /// What a name means in a module. A module and a function may share one: what follows tells.
    fn look_up(&self, scope: &str, name: &str, leads_on: bool, depth: usize) -> Option<Found> {
        let source = &self.modules.get(scope)?.source;
        let child = format!("{scope}::{name}");
        let child = source.children.contains(name).then_some(Found::Module(child));
        let item = source.items.contains(name).then(|| Found::Item(scope.to_owned()));
        let named = source.imports.iter().filter(|import| import.name == name);
        // `use metrics::{self}` names what is outside.
        let named = named.filter(|import| import.path != [name]);
        let imported = named.filter_map(|import| self.resolve(scope, &import.path, depth + 1));
        let mut all: Vec<Found> = child.into_iter().chain(item).chain(imported).collect();
        all.sort_by_key(|found| matches!(found, Found::Module(_)) != leads_on);
        all.into_iter().next().or_else(|| {
            let mut globs = source.imports.iter().filter(|import| import.name == "*");
            globs.find_map(|import| {
                let path = &import.path[..import.path.len() - 1];
                match self.resolve(scope, path, depth + 1)? {
                    Found::Module(module) => self.look_up(&module, name, leads_on, depth + 1),
                    Found::Item(_) => None,
                }
            })
        })
    }
}

/// What code calls the package in this folder.
fn crate_name(folder: &str) -> String {
    folder.rsplit('/').next().unwrap().replace('-', "_")
}

/// Whether one module is the other or part of it.
fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn parent(module: &str) -> Option<String> {
    Some(module.rsplit_once("::")?.0.to_owned())
}
