//! Definitions, imports and names of one file, read from its tokens.
//!
//! Test code is left out: an item behind `#[cfg(test)]` or `#[test]`, with the modules it declares.

use std::collections::BTreeSet;

use super::super::tree::File;

/// A file of Rust as the rule sees it. A file is one module: an inline one belongs to its file.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The items defined at its top.
    pub(super) items: BTreeSet<String>,
    /// The modules in files of their own that it declares.
    pub(super) children: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// Each path of more than one name in its code.
    pub(super) paths: Vec<Vec<String>>,
    /// Every name in its code outside `use`.
    pub(super) names: BTreeSet<String>,
}

/// One name that a `use` brings in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// What it is called here; `*` for everything, `_` for nothing.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
}

impl Source {
    pub(super) fn read(file: &File) -> Self {
        let code = file.code();
        let mut reader =
            Reader { tokens: without_tests(&tokens(&code)), at: 0, found: Self::default() };
        reader.read();
        reader.found
    }
}

struct Reader<'c> {
    tokens: Vec<&'c str>,
    at: usize,
    found: Source,
}

impl<'c> Reader<'c> {
    fn read(&mut self) {
        let mut depth = 0_usize;
        while let Some(&token) = self.tokens.get(self.at) {
            let next = self.tokens.get(self.at + 1).copied().unwrap_or_default();
            match token {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "use" if next != "<" => {
                    self.use_declaration();
                    continue;
                }
                "mod" if depth == 0 && self.tokens.get(self.at + 2) == Some(&";") => {
                    self.found.children.insert(next.to_owned());
                }
                _ if depth == 0 => self.item(token),
                _ => {}
            }
            if is_name(token) {
                self.path();
            } else {
                self.at += 1;
            }
        }
    }

    /// Notes an item, if this word begins its definition.
    fn item(&mut self, keyword: &str) {
        let name = match (keyword, &self.tokens[self.at + 1..]) {
            ("macro_rules", ["!", name, ..])
            | ("const" | "static", ["mut", name, ..])
            | (
                "struct" | "enum" | "union" | "trait" | "fn" | "type" | "const" | "static" | "mod",
                [name, ..],
            ) => *name,
            _ => return,
        };
        // What stands between `const` and the name of a function is no name.
        if is_name(name) && !matches!(name, "fn" | "unsafe" | "async" | "extern") {
            self.found.items.insert(name.to_owned());
        }
    }

    /// Reads `a` or `a::b::c`.
    fn path(&mut self) {
        let is_continued = self.at > 0 && self.tokens[self.at - 1] == "::";
        let mut path = vec![self.tokens[self.at].to_owned()];
        self.at += 1;
        while let ["::", name, ..] = &self.tokens[self.at..]
            && is_name(name)
        {
            path.push((*name).to_owned());
            self.at += 2;
        }
        self.found.names.insert(path[0].clone());
        if !is_continued && path.len() > 1 {
            self.found.paths.push(path);
        }
    }

    fn use_declaration(&mut self) {
        let mut before = self.tokens[..self.at].iter().rev();
        let is_public = match before.next() {
            Some(&"pub") => true,
            Some(&")") => before.take(5).any(|token| *token == "pub"),
            _ => false,
        };
        self.at += 1;
        self.use_tree(&[], is_public);
    }

    /// Reads one branch of a `use`, behind the names that lead to it.
    fn use_tree(&mut self, prefix: &[&'c str], is_public: bool) {
        let mut path = prefix.to_vec();
        while let Some(&token) = self.tokens.get(self.at) {
            match token {
                "," | "}" | ";" | "as" => break,
                "{" => {
                    self.at += 1;
                    while !matches!(self.tokens.get(self.at), Some(&"}") | None) {
                        self.use_tree(&path, is_public);
                        self.at += usize::from(self.tokens.get(self.at) == Some(&","));
                    }
                    self.at += 1;
                    return;
                }
                "::" => {}
                name => path.push(name),
            }
            self.at += 1;
        }
        if path.len() > 1 && path.last() == Some(&"self") {
            path.pop();
        }
        let mut name = *path.last().unwrap();
        if self.tokens.get(self.at) == Some(&"as") {
            name = self.tokens[self.at + 1];
            self.at += 2;
        }
        let path = path.into_iter().map(str::to_owned).collect();
        self.found.imports.push(Import { name: name.to_owned(), path, is_public });
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and everything else character by character; lifetimes and numbers are no names.
fn tokens(code: &str) -> Vec<&str> {
    let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' {
            let name = rest[1..].find(|letter| !is_inside(letter)).unwrap_or(rest.len() - 1);
            1 + name
        } else if is_inside(first) {
            rest.find(|letter| !is_inside(letter)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The tokens without the items that only tests see.
fn without_tests<'c>(tokens: &[&'c str]) -> Vec<&'c str> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match &tokens[at..] {
            ["#", "[", "cfg", "(", "test", ..] | ["#", "[", "test", "]", ..] => {
                at += test_item(&tokens[at..]);
            }
            _ => {
                kept.push(tokens[at]);
                at += 1;
            }
        }
    }
    kept
}

/// How many tokens an item has, from its first attribute to its end.
fn test_item(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *token == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn a_file_is_read() {
    let text = "
        pub(crate) use self::a::{self, B as C, d::{E, *}};
        use std::fmt::Write as _;
        mod a;
        #[cfg(test)]
        mod tests;
        pub(super) const F: &'static str = \"crate::g\";
        const fn h(i: j::K) -> l::M { let n = 'o'; i.p::<q::R>(crate::s::T::u()) }
        #[test]
        fn v() { w::x(); }
        impl Y { fn z() {} }";
    let found = Source::read(&File::planted("x.rs", text));
    let import = |name: &str, path: &str, is_public| Import {
        name: name.to_owned(),
        path: path.split("::").map(str::to_owned).collect(),
        is_public,
    };
    assert_eq!(
        found.imports,
        [
            import("a", "self::a", true),
            import("C", "self::a::B", true),
            import("E", "self::a::d::E", true),
            import("*", "self::a::d::*", true),
            import("_", "std::fmt::Write", false),
        ]
    );
    assert_eq!(found.items.iter().collect::<Vec<_>>(), ["F", "h"]);
    assert_eq!(found.children.iter().collect::<Vec<_>>(), ["a"]);
    let paths: Vec<String> = found.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["j::K", "l::M", "q::R", "crate::s::T::u"]);
}
