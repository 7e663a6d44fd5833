//! The files of the repository; in Rust files, code is separated from comments and strings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Sin;

/// The crates that are services.
pub(super) const SERVICES: [&str; 4] =
    ["order-service", "inventory-service", "payment-service", "notify-service"];

/// A file of the tree.
#[derive(Debug)]
pub(super) struct File {
    /// From the root of the workspace, with `/` between.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// A file that is not there, for trying rules on.
    pub(super) fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Every file of the tree whose name ends like this.
    pub(super) fn all(extension: &str) -> Vec<Self> {
        let root = root();
        let mut paths = Vec::new();
        collect(&root, extension, &mut paths);
        paths.sort();
        assert!(!paths.is_empty(), "no *.{extension} under {}", root.display());
        let relative = |path: &Path| -> String {
            let parts = path.strip_prefix(&root).unwrap().iter();
            parts.map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/")
        };
        let read = |path: PathBuf| Self {
            path: relative(&path),
            text: fs::read_to_string(&path).unwrap(),
        };
        paths.into_iter().map(read).collect()
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// Whether nothing of it is shipped.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.name() == "tests.rs"
    }

    /// Whether it is source of a service; with the path inside its `src`.
    pub(super) fn in_service(&self) -> Option<&str> {
        let (service, rest) = self.path.split_once('/')?;
        SERVICES.contains(&service).then(|| rest.strip_prefix("src/")).flatten()
    }

    /// A sin in this file, at a place given in bytes.
    pub(super) fn sin(&self, at: usize, what: impl Into<String>) -> Sin {
        let line = 1 + self.text[..at].matches('\n').count();
        Sin { path: self.path.clone(), line, what: what.into() }
    }

    /// The code alone: comments and the insides of strings are blanks, all else is where it was.
    pub(super) fn code(&self) -> String {
        self.only(|part| matches!(part, Part::Code))
    }

    /// The insides of strings alone.
    pub(super) fn strings(&self) -> String {
        self.only(|part| matches!(part, Part::String))
    }

    fn only(&self, keep: impl Fn(Part) -> bool) -> String {
        let mut kept = String::with_capacity(self.text.len());
        for (part, piece) in parts(&self.text) {
            if keep(part) {
                kept.push_str(piece);
            } else {
                kept.extend(piece.chars().flat_map(|letter| match letter {
                    '\n' => vec!['\n'],
                    // As many bytes as before: places stay where they are.
                    other => vec![' '; other.len_utf8()],
                }));
            }
        }
        kept
    }
}

/// Words of a text and where they begin.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_inside = |character: char| character.is_alphanumeric() || character == '_';
    text.split(move |letter: char| !is_inside(letter))
        .filter(|text| !text.is_empty())
        .map(move |one_text| (one_text.as_ptr() as usize - text.as_ptr() as usize, one_text))
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // Built, fetched or hidden: none of it is written here.
        if name.starts_with('.') || matches!(name, "target" | "node_modules") {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
}

/// The kind of a piece of a Rust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    String,
}

/// Cuts a Rust file into code, comments and the insides of strings.
fn parts(text: &str) -> Vec<(Part, &str)> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let (part, begin, end) = if rest.starts_with("//") {
            (Part::Comment, 0, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (Part::Comment, 0, block_comment(rest))
        } else if let Some((begin, end)) = string(rest, text[..at].chars().next_back()) {
            (Part::String, begin, end)
        } else {
            at += character(rest);
            continue;
        };
        parts.push((Part::Code, &text[from..at + begin]));
        parts.push((part, &text[at + begin..at + end]));
        from = at + end;
        // The quote that ends a string begins no other.
        at = if part == Part::String { (from + 1).min(text.len()) } else { from };
    }
    parts.push((Part::Code, &text[from..]));
    parts
}

/// How long a comment is that may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            match rest.chars().next() {
                Some(it) => it.len_utf8(),
                None => return at,
            }
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
}

/// Where the inside of a string begins and ends, if one begins here.
fn string(text: &str, before: Option<char>) -> Option<(usize, usize)> {
    if let Some(inside) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        return Some((1, 1 + end.unwrap_or(inside.len())));
    }
    // A raw string; `r` at the end of a longer word begins none.
    if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
        return None;
    }
    let hashes = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let n = hashes.len() - hashes.trim_start_matches('#').len();
    let inside = hashes[n..].strip_prefix('"')?;
    let begin = text.len() - inside.len();
    let close = format!("\"{}", "#".repeat(n));
    Some((begin, begin + inside.find(&close).unwrap_or(inside.len())))
}

/// How long the next piece of code is that must not be cut: a character literal may hold a quote.
fn character(text: &str) -> usize {
    for literal in ["'\"'", "'\\\"'", "'\\''", "'\\\\'"] {
        if text.starts_with(literal) {
            return literal.len();
        }
    }
    text.chars().next().map_or(1, char::len_utf8)
}

#[test]
fn code_comments_and_strings_are_told_apart() {
    let file = File::planted(
        "x.rs",
        "let a = \"in // a \\\" string\"; // said \"so\"\n/* b /* c */ d */ let e = '\"'; r#\"raw \"f\"\"#; g",
    );
    let code: Vec<&str> = file.code().leak().split_whitespace().collect();
    assert_eq!(code, ["let", "a", "=", "\"", "\";", "let", "e", "=", "'\"';", "r#\"", "\"#;", "g"]);
    let strings = file.strings();
    assert_eq!(
        strings.split_whitespace().collect::<Vec<_>>(),
        ["in", "//", "a", "\\\"", "string", "raw", "\"f\""]
    );
    assert_eq!(strings.len(), file.text.len());
}

#[test]
fn a_sin_is_found_on_its_line() {
    let file = File::planted("x.rs", "one\ntwo\nthree");
    let at = words(&file.text).find(|(_, word)| *word == "three").unwrap().0;
    assert_eq!(file.sin(at, "").line, 3);
}

#[test]
fn the_source_of_services_is_known() {
    let of = |path| File::planted(path, "").in_service().map(str::to_owned);
    assert_eq!(of("notify-service/src/http/x.rs").as_deref(), Some("http/x.rs"));
    assert_eq!(of("tools/gateway-simulator/src/lib.rs"), None);
    assert_eq!(of("shared/src/lib.rs"), None);
}
