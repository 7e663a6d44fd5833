//! All SQL of a service is in its `store`, and each column says what it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sin, assert_none, tree::File};

fn is_store(path: &str) -> bool {
    path == "store.rs" || path.starts_with("store/")
}

fn stray_sql(file: &File) -> Vec<Sin> {
    let elsewhere = file.in_service().is_some_and(|text| !is_store(text));
    if !elsewhere || file.is_test() {
        return vec![];
    }
    let (code, strings) = (file.code(), file.strings());
    let calls = ["sqlx::query", "sqlx::raw_sql", "QueryBuilder", "query_as", "query_scalar"];
    let called = calls.iter().flat_map(|text| code.match_indices(text)).map(|(at, _)| at);
    let statements = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "TRUNCATE "];
    let written = statements.iter().flat_map(|text| strings.match_indices(text)).map(|(at, _)| at);
    called.chain(written).map(|at| file.sin(at, "SQL outside the store")).collect()
}

/// The tables and columns of one folder's migrations that have no comment.
fn uncommented(migrations: &[&File]) -> Vec<Sin> {
    let mut wanted = BTreeMap::new();
    let mut given = BTreeSet::new();
    for file in migrations {
        for (at, statement) in statements(&file.text) {
            let mut tokens = statement.split_whitespace();
            match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
                (Some("CREATE"), Some("TABLE"), Some(table), _) => {
                    wanted.extend(defined(table, statement).map(|name| (name, (*file, at))));
                }
                (Some("ALTER"), Some("TABLE"), Some(table), _) => {
                    let added = statement.split("ADD COLUMN").skip(1);
                    let columns = added.filter_map(|text| text.split_whitespace().next());
                    wanted.extend(
                        columns.map(|name| (format!("{table}.{}", plain(name)), (*file, at))),
                    );
                }
                (Some("COMMENT"), Some("ON"), Some("TABLE" | "COLUMN"), Some(name)) => {
                    given.insert(plain(name));
                }
                _ => {}
            }
        }
    }
    let without = wanted.into_iter().filter(|(name, _)| !given.contains(name));
    without.map(|(name, (file, at))| file.sin(at, format!("{name} has no comment"))).collect()
}

/// A table's name, and the names of its columns.
fn defined(table: &str, statement: &str) -> impl Iterator<Item = String> {
    let table = plain(table.trim_end_matches('('));
    let body = statement.split_once('(').map_or("", |(_, body)| body);
    let not_columns = ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT", "EXCLUDE", "LIKE"];
    let columns: Vec<String> = top_level(body)
        .into_iter()
        .filter_map(|text| text.split_whitespace().next().map(str::to_owned))
        .filter(|text| !not_columns.contains(&text.split('(').next().unwrap()))
        .map(|name| format!("{table}.{}", plain(&name)))
        .collect();
    std::iter::once(table).chain(columns)
}

/// The parts between commas that no bracket holds, up to the bracket that was open before.
fn top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_usize, 0);
    for (at, it) in text.char_indices() {
        match it {
            '(' => depth += 1,
            ')' if depth == 0 => {
                parts.push(&text[from..at]);
                return parts;
            }
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// A name without its quotes.
fn plain(name: &str) -> String {
    name.replace('"', "")
}

/// The statements of a script and where they begin, without comments; a `;` in a text ends none.
fn statements(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, it) in text.char_indices() {
        match it {
            '\'' => quoted = !quoted,
            ';' if !quoted => {
                found.push((from, &text[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// A script without its `--` comments; what is left stays on its line.
fn without_comments(file: &File) -> File {
    let lines = file.text.lines().map(|line| {
        let mut quoted = false;
        let end = line.char_indices().find(|(at, character)| {
            quoted ^= *character == '\'';
            !quoted && line[*at..].starts_with("--")
        });
        end.map_or(line, |(at, _)| &line[..at])
    });
    File::planted(&file.path, &lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn all_sql_of_a_service_is_in_its_store() {
    let sins: Vec<Sin> = File::all("rs").iter().flat_map(stray_sql).collect();
    assert_none("one file says what is asked of the database, many rows at once", &sins);
}

#[test]
fn every_table_and_column_says_what_it_is() {
    let scripts: Vec<File> = File::all("sql").iter().map(without_comments).collect();
    let mut folders: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in scripts.iter().filter(|script| script.path.contains("/migrations/")) {
        folders.entry(file.path.rsplit_once('/').unwrap().0).or_default().push(file);
    }
    assert!(folders.len() > 1, "no migrations");
    let sins: Vec<Sin> = folders.values().flat_map(|items| uncommented(items)).collect();
    assert_none("a reader of the database has no other documentation", &sins);
}

#[test]
fn stray_sql_is_found() {
    let sins = |path, text| stray_sql(&File::planted(path, text)).len();
    for sin in ["sqlx::query(A)", "let a = \"SELECT 1\";", "r#\"INSERT INTO a VALUES (1)\"#"] {
        assert_eq!(sins("order-service/src/app.rs", sin), 1, "{sin}");
        assert_eq!(sins("order-service/src/store/orders.rs", sin), 0, "{sin}");
        assert_eq!(sins("order-service/tests/it/app.rs", sin), 0, "{sin}");
        assert_eq!(sins("tools/sagactl/src/audit.rs", sin), 0, "{sin}");
    }
    assert_eq!(sins("order-service/src/app.rs", "// SELECT\nuse sqlx::PgConnection;"), 0);
}

#[test]
fn a_column_without_a_comment_is_found() {
    let script = "
        -- It's a comment; nothing more.
        CREATE TABLE a.b (
            one   numeric(3, 2) NOT NULL CHECK (one IN (1, 2)),
            \"two\" text,
            three text, -- said elsewhere
            PRIMARY KEY (one, \"two\"),
            CHECK (one > 0)
        ) WITH (fillfactor = 80);
        COMMENT ON TABLE a.b IS 'It''s one; COMMENT ON COLUMN a.b.three IS nothing.';
        COMMENT ON COLUMN a.b.\"two\" IS 'Two.';
        ALTER TABLE a.b ADD COLUMN four text;";
    let file = without_comments(&File::planted("a/migrations/1.sql", script));
    let sins: Vec<String> = uncommented(&[&file]).into_iter().map(|sin| sin.what).collect();
    assert_eq!(
        sins,
        ["a.b.four has no comment", "a.b.one has no comment", "a.b.three has no comment"]
    );
}
