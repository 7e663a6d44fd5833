//! Words that were replaced by the terms of the field, and must not come back.

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// Each word, also as a part of an identifier, with what to write instead.
const REPLACED: [(&str, &str); 11] = [
    ("census", "sampler"),
    ("errand", "one-shot command"),
    ("fleet", "cluster"),
    ("goods", "stock, products"),
    ("household", "the term that is meant"),
    ("imposter", "reused id"),
    ("intake", "batcher, queue"),
    ("lane", "ordering key, message path"),
    ("whoever", "a process, caller, reader or operator that …"),
    ("mend", "fix, repair"),
    ("road", "messaging runtime, message path"),
];

/// These have to name them: this file, and the record of what replaced which.
const EXEMPT: [&str; 2] =
    ["system-tests/tests/it/tidy/vocabulary.rs", "docs/adr/0021-four-services-have-one-shape.md"];

/// Names in databases of earlier versions, in the file that tests their migration.
const RELEASED: [(&str, &str); 2] =
    [("shared/tests/it/migrations.rs", "imposter"), ("shared/tests/it/migrations.rs", "lane")];

/// Kinds of files that are searched. Migrations are not: a released one never changes.
const KINDS: [&str; 6] = ["rs", "md", "toml", "yaml", "yml", "json"];

fn replaced_words(file: &File) -> Vec<Sin> {
    let mut sins = Vec::new();
    for (at, identifier) in words(&file.text) {
        for part in identifier.split('_') {
            let part = part.to_lowercase();
            let singular = part.strip_suffix('s').unwrap_or(&part);
            let found = REPLACED.iter().find(|(word, _)| *word == part || *word == singular);
            let found = found.filter(|(word, _)| !RELEASED.contains(&(file.path.as_str(), word)));
            if let Some((word, term)) = found {
                sins.push(file.sin(at, format!("{word}: {term}")));
            }
        }
    }
    sins
}

#[test]
fn no_word_is_used_for_which_the_field_has_a_term() {
    let files = KINDS.into_iter().flat_map(File::all);
    let files = files.filter(|file| !EXEMPT.contains(&file.path.as_str()));
    let sins: Vec<Sin> = files.flat_map(|file| replaced_words(&file)).collect();
    assert_none("a reader knows the terms of the field, not ours", &sins);
}

#[test]
fn a_replaced_word_is_found_in_prose_and_in_names() {
    let count = |text| replaced_words(&File::planted("a/src/b.rs", text)).len();
    assert_eq!(count("//! Whoever sees a fleet."), 2);
    assert_eq!(count("fn fleet_of_errands() {}"), 2);
    assert_eq!(count("//! An amendment, the fleeting household."), 1);
    assert_eq!(count("let intake_depth = \"roads\"; //! A lane on the broad planes."), 3);
}

#[test]
fn a_name_in_a_released_database_is_allowed_where_its_migration_is_tested() {
    let count = |path, text| replaced_words(&File::planted(path, text)).len();
    assert_eq!(count("shared/tests/it/migrations.rs", "\"INSERT … (lane) 'imposter'\""), 0);
    assert_eq!(count("shared/tests/it/migrations.rs", "\"INSERT … (road)\""), 1);
    assert_eq!(count("shared/tests/it/inbox.rs", "\"INSERT … (lane) 'imposter'\""), 2);
}
