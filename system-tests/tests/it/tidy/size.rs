//! Limits on the length of files and functions.

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// Limit on lines of a file: a longer file holds more than one topic.
const FILE_LINES_MAX: usize = 400;
/// A function longer than this does not fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// Limit on lines of `main`: a longer `main` does work of its own.
const MAIN_LINES_MAX: usize = 40;

fn long_files(file: &File) -> Option<Sin> {
    let max = if file.path.ends_with("src/main.rs") { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    let lines = file.text.lines().count();
    (lines > max).then(|| file.sin(0, format!("{lines} lines, and {max} are allowed")))
}

fn long_functions(file: &File) -> Vec<Sin> {
    let code = file.code();
    let begins = words(&code).filter(|(_, word)| *word == "fn").map(|(at, _)| at);
    begins
        .filter_map(|at| {
            let lines =
                function(&code[at..])?.lines().filter(|text| !text.trim().is_empty()).count();
            let what = format!("a function of {lines} lines, and {FUNCTION_LINES_MAX} are allowed");
            (lines > FUNCTION_LINES_MAX).then(|| file.sin(at, what))
        })
        .collect()
}

/// The text of a function, from `fn` to its closing brace; none if it has no body.
fn function(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, it) in text.char_indices() {
        match it {
            ';' if depth == 0 => return None,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if it == '}' && depth == 0 {
            return Some(&text[..=at]);
        }
    }
    None
}

#[test]
fn no_file_outgrows_a_sitting() {
    let sins: Vec<Sin> = File::all("rs").iter().filter_map(long_files).collect();
    assert_none("a long file holds more than one thing: split it", &sins);
}

#[test]
fn no_function_outgrows_a_screen() {
    let sins: Vec<Sin> = File::all("rs").iter().flat_map(long_functions).collect();
    assert_none("a long function does more than one thing: split it", &sins);
}

#[test]
fn a_long_file_is_found() {
    let lines = |n| "\n".repeat(n);
    assert!(long_files(&File::planted("a/src/b.rs", &lines(400))).is_none());
    assert!(long_files(&File::planted("a/src/b.rs", &lines(401))).is_some());
    assert!(long_files(&File::planted("a/src/main.rs", &lines(41))).is_some());
    assert!(long_files(&File::planted("a/tests/it/main.rs", &lines(41))).is_none());
}

#[test]
fn a_long_function_is_found() {
    let of = |n| format!("\nfn f(a: [u8; 2]) {{\n{}}}\n", "x();\n// why\n\n".repeat(n));
    assert!(long_functions(&File::planted("a.rs", &of(68))).is_empty());
    let sins = long_functions(&File::planted("a.rs", &of(69)));
    assert_eq!(sins.iter().map(|sin| sin.line).collect::<Vec<_>>(), [2]);
    let declared = format!("trait T {{ fn f(); }}\n{}", "const A: u8 = 1;\n".repeat(100));
    assert!(long_functions(&File::planted("a.rs", &declared)).is_empty());
}
