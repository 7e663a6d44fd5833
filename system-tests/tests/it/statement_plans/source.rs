//! The statements in the source: string literals that begin as SQL does.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::plan::one_line;

/// A literal with SQL in it.
#[derive(Debug)]
pub(super) struct SourceStatement {
    /// The file, from the root of the workspace.
    file: String,
    /// The text, with single spaces.
    pub(super) text: String,
}

impl fmt::Display for SourceStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "never executed: {}: {}", self.file, self.text)
    }
}

impl SourceStatement {
    /// Those of the runtime and of the four stores.
    pub(super) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = Vec::new();
        collect(&root.join("shared/src"), &mut files);
        for service in ["order", "inventory", "payment", "notify"] {
            let source = root.join(format!("{service}-service/src"));
            collect(&source.join("store"), &mut files);
            files.push(source.join("store.rs"));
        }
        let mut found = Vec::new();
        for path in files {
            let source = fs::read_to_string(&path).unwrap();
            let shipped = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let file = path.strip_prefix(root).unwrap().display().to_string();
            let statements = literals(shipped).into_iter().map(|text| one_line(&text));
            found.extend(
                statements
                    .filter(|text| is_sql(text))
                    .map(|text| Self { file: file.clone(), text }),
            );
        }
        assert!(found.len() > 60, "the source is not where it was");
        found
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("tests") {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("tests.rs")
        {
            files.push(path);
        }
    }
}

/// A whole statement, or a part of one that has a name in it.
fn is_sql(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').take(3).collect();
    let is_part = words.len() == 3
        && words[1] == "AS"
        && (words[2].starts_with('(') || words[2] == "MATERIALIZED");
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "WHERE"];
    (verbs.contains(&words[0]) && words.len() > 1) || is_part
}

/// The string literals of a source text.
fn literals(source: &str) -> Vec<String> {
    let (mut found, mut characters) = (Vec::new(), source.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => {
                characters.by_ref().find(|character| *character == '\n');
            }
            // A character, not a string.
            '\'' if characters.peek() == Some(&'"') => {
                characters.nth(1);
            }
            '"' => found.push(literal(&mut characters)),
            _ => (),
        }
    }
    found
}

/// The rest of a literal whose beginning was read.
fn literal(characters: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('\n') | None => text.push(' '),
                Some(escaped) => text.push(escaped),
            },
            _ => text.push(character),
        }
    }
    text
}

#[test]
fn literals_that_are_sql_are_found_in_a_source() {
    let source = r#"
        let a = query("SELECT 1,
             \"offset\" FROM x"); // "SELECT not this"
        let b = '"'; let c = "Select is no SQL"; let d = "part AS (SELECT 2)";
    "#;
    let found: Vec<String> =
        literals(source).iter().map(|text| one_line(text)).filter(|text| is_sql(text)).collect();
    assert_eq!(found, ["SELECT 1, \"offset\" FROM x", "part AS (SELECT 2)"]);
}
