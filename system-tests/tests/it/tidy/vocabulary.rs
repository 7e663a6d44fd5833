//! Words that were replaced by the terms of the field, and must not come back.

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// Each word, also as a part of an identifier, with what to write instead.
const REPLACED: [(&str, &str); 6] = [
    ("errand", "one-shot command"),
    ("fleet", "cluster"),
    ("goods", "stock, products"),
    ("household", "the term that is meant"),
    ("whoever", "a process, caller, reader or operator that …"),
    ("mend", "fix, repair"),
];

/// This file has to name them.
const HERE: &str = "system-tests/tests/it/tidy/vocabulary.rs";

fn replaced_words(file: &File) -> Vec<Sin> {
    let mut sins = Vec::new();
    for (at, identifier) in words(&file.text) {
        for part in identifier.split('_') {
            let part = part.to_lowercase();
            let singular = part.strip_suffix('s').unwrap_or(&part);
            let found = REPLACED.iter().find(|(word, _)| *word == part || *word == singular);
            if let Some((word, term)) = found {
                sins.push(file.sin(at, format!("{word}: {term}")));
            }
        }
    }
    sins
}

#[test]
fn no_word_is_used_for_which_the_field_has_a_term() {
    let files = ["rs", "md"].into_iter().flat_map(File::all).filter(|file| file.path != HERE);
    let sins: Vec<Sin> = files.flat_map(|file| replaced_words(&file)).collect();
    assert_none("a reader knows the terms of the field, not ours", &sins);
}

#[test]
fn a_replaced_word_is_found_in_prose_and_in_names() {
    let count = |text| replaced_words(&File::planted("a/src/b.rs", text)).len();
    assert_eq!(count("//! Whoever sees a fleet."), 2);
    assert_eq!(count("fn fleet_of_errands() {}"), 2);
    assert_eq!(count("//! An amendment, the fleeting household."), 1);
}
