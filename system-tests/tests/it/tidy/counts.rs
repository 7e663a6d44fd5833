//! Counts over the whole tree that say whether names and comments speak to a reader.

use std::collections::BTreeSet;

use super::{
    Sin, assert_none,
    tree::{File, root, words},
};

/// Of a hundred declared types, as many may have a name of one word.
const ONE_WORD_TYPES_MAX: usize = 45;
/// Doc comments of three words or fewer.
const SHORT_DOCS_MAX: usize = 49;
/// Rows of the glossary in ARCHITECTURE.md.
const GLOSSARY_MAX: usize = 20;

/// Names that serde's `with` calls without writing them.
const CALLED_BY_SERDE: [&str; 2] = ["serialize", "deserialize"];

/// What follows each of these words in code, when it is a name.
fn declared<'c>(code: &'c str, kinds: &[&str]) -> Vec<&'c str> {
    let all: Vec<&str> = words(code).map(|(_, word)| word).collect();
    all.windows(2).filter(|pair| kinds.contains(&pair[0])).map(|pair| pair[1]).collect()
}

/// Names of declared types, and how many of them are of one word.
fn one_word_types(files: &[File]) -> (usize, usize) {
    let (mut one, mut all) = (0, 0);
    for file in files.iter().filter(|file| !file.is_test()) {
        for name in declared(&file.code(), &["struct", "enum", "trait"]) {
            all += 1;
            one += usize::from(name.chars().filter(|letter| letter.is_uppercase()).count() <= 1);
        }
    }
    (one, all)
}

/// Doc comments that are as good as none: whole blocks of three words or fewer.
fn short_docs(file: &File) -> Vec<Sin> {
    let mut found = Vec::new();
    let (mut block, mut begins, mut at) = (0, 0, 0);
    for line in file.text.split_inclusive('\n').chain(["\n"]) {
        if let Some(text) = line.trim_start().strip_prefix("///") {
            begins = if block == 0 { at } else { begins };
            block += text.split_whitespace().count();
        } else {
            if (1..=3).contains(&block) {
                found.push(file.sin(begins, "a doc comment of three words or fewer"));
            }
            block = 0;
        }
        at = (at + line.len()).min(file.text.len());
    }
    found
}

/// Public items of `shared` that no other crate names, and that are in no public signature there:
/// those in one are used by everybody who calls it.
fn unused_items(files: &[File]) -> Vec<Sin> {
    let (runtime, others): (Vec<&File>, Vec<&File>) =
        files.iter().partition(|file| file.path.starts_with("shared/src/"));
    let named = |files: &[&File]| -> BTreeSet<String> {
        let codes = files.iter().map(|file| file.code());
        codes
            .flat_map(|code| words(&code).map(|(_, word)| word.to_owned()).collect::<Vec<_>>())
            .collect()
    };
    let mut used = named(&others);
    used.extend(CALLED_BY_SERDE.map(str::to_owned));
    let runtime: Vec<&File> = runtime.into_iter().filter(|file| !file.is_test()).collect();
    let signatures: BTreeSet<String> =
        runtime.iter().flat_map(|file| words_of_signatures(&file.code())).collect();
    let mut found = Vec::new();
    for file in runtime {
        let code = file.code();
        for (at, _) in words(&code).filter(|(_, word)| *word == "pub") {
            let item = code[at..].split(['{', ';', '(', '=', '<']).next().unwrap_or_default();
            let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type"];
            let Some(name) = declared(item, &kinds).pop() else { continue };
            if !used.contains(name) && !signatures.contains(name) {
                found.push(file.sin(at, format!("nobody outside of shared uses `{name}`")));
            }
        }
    }
    found
}

/// The words in the parameters, results and fields of public items.
fn words_of_signatures(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let publics =
        words(code).filter(|(at, word)| *word == "pub" && !code[at + 3..].starts_with('('));
    for (at, _) in publics {
        let text = &code[at..];
        let end = text.find(['{', ';']).unwrap_or(text.len());
        // What a struct or an enumeration holds is as public as it is.
        let kind = words(text).nth(1).map(|(_, word)| word);
        let holds = kind.is_some_and(|word| ["struct", "enum", "trait"].contains(&word));
        let end = if holds { text.find("\n}").unwrap_or(end).max(end) } else { end };
        // The name itself is the third word.
        found.extend(words(&text[..end]).skip(3).map(|(_, word)| word.to_owned()));
    }
    found
}

#[test]
fn most_types_have_names_of_two_words_or_more() {
    let (one, all) = one_word_types(&File::all("rs"));
    assert!(all > 500, "{all}");
    assert!(one * 100 < all * ONE_WORD_TYPES_MAX, "{one} of {all} types have one word");
}

#[test]
fn few_doc_comments_have_three_words_or_fewer() {
    let found: Vec<Sin> = File::all("rs").iter().flat_map(short_docs).collect();
    let list: Vec<String> = found.iter().map(Sin::to_string).collect();
    assert!(found.len() <= SHORT_DOCS_MAX, "{}\n{}", found.len(), list.join("\n"));
}

#[test]
fn what_shared_shows_is_used_by_another_crate() {
    let sins = unused_items(&File::all("rs"));
    assert_none("make it `pub(crate)`, or delete it", &sins);
}

#[test]
fn the_glossary_is_short() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, glossary) = text.split_once("### Glossary").unwrap();
    let rows = glossary.split("\n#").next().unwrap().lines().filter(|line| line.starts_with("| *"));
    let rows = rows.count();
    assert!((1..=GLOSSARY_MAX).contains(&rows), "{rows} terms");
}

#[test]
fn names_and_comments_that_say_little_are_counted() {
    let file = |text| File::planted("shared/src/a.rs", text);
    assert_eq!(one_word_types(&[file("struct Order; enum OrderStage {} trait Ask {}")]), (2, 3));
    assert_eq!(short_docs(&file("/// Its name.\nname: String,")).len(), 1);
    assert_eq!(short_docs(&file("/// One\n/// two\n/// three four.\nfn a() {}")).len(), 0);
    assert_eq!(short_docs(&file("//! Head.\n// Why.\nfn a() {}\n/// End.")).len(), 1);
}

#[test]
fn an_item_that_only_shared_uses_is_found() {
    let found = |shared: &str, other: &str| {
        let files = [
            File::planted("shared/src/a.rs", shared),
            File::planted("order-service/src/b.rs", other),
        ];
        unused_items(&files).len()
    };
    assert_eq!(found("pub fn lonely() {}", ""), 1);
    assert_eq!(found("pub struct Lonely { pub a: u8 }", "// Lonely"), 1);
    assert_eq!(found("pub(crate) fn own() {}", ""), 0);
    assert_eq!(found("pub const fn used() {}", "shared::a::used()"), 0);
    let error = "pub struct Refused;\npub fn used() -> Result<(), Refused> { Ok(()) }";
    assert_eq!(found(error, "used()"), 0);
}
