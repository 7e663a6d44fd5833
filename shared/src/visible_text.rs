//! Escapes external text, so that it is safe to show.
//!
//! A message's key, a header or another system's text may hold characters that a terminal executes
//! (escape sequences: titles, the clipboard, forged lines) or that change the order in which a line
//! is read. Where such text is shown, these characters are escaped: `\x1b`, `\u{202e}`.
//!
//! Escaped are the control characters of C0 and C1 with DEL (ECMA-48), the separators of lines and
//! paragraphs, and the marks, embeddings, overrides and isolates of the bidirectional algorithm
//! (Unicode, UAX #9).
//!
//! **Architecture invariant:** stored and sent text stays unchanged. Text is escaped where it is
//! shown, and nowhere before.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character does something else than to be seen.
pub fn is_hidden(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line, in which everything can be seen.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, put)
}

/// The same for a text of several lines: their ends stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character != '\n' && is_hidden(character), put)
}

/// The same for a text that is JSON already: what it says stays the same.
pub fn visible_json(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, put_json)
}

fn escaped(
    text: &str,
    escape: impl Fn(char) -> bool,
    put: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.chars().any(&escape) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for it in text.chars() {
        if escape(it) {
            put(&mut shown, it);
        } else {
            shown.push(it);
        }
    }
    Cow::Owned(shown)
}

/// All of them are in the first plane of Unicode: one escape each.
fn put_json(shown: &mut String, it: char) {
    // Writing to a string cannot fail.
    write!(shown, "\\u{:04x}", u32::from(it)).unwrap_or_default();
}

fn put(shown: &mut String, it: char) {
    match it {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        it => {
            let number = u32::from(it);
            let written = if it.is_ascii() {
                write!(shown, "\\x{number:02x}")
            } else {
                write!(shown, "\\u{{{number:x}}}")
            };
            // Writing to a string cannot fail.
            written.unwrap_or_default();
        }
    }
}

/// A value as JSON on one line, in whose strings such characters are escaped: all of them, while
/// RFC 8259 asks for those below U+0020 only.
pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    Ok(match visible_json(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, shown) in [
            ("plain – 😀 علي", "plain – 😀 علي"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\r\nforged", "a\\r\\nforged"),
            ("\u{7f}\u{0}\t", "\\x7f\\x00\\t"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", "\\u{202a}\\u{202e}\\u{2066}\\u{2069}"),
            ("\u{200f}\u{2028}", "\\u{200f}\\u{2028}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\u{1b}\r\n"), "a\nb\\x1b\\r\n");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_what_can_be_seen_is_not_touched(text: String) {
            prop_assert!(!visible(&text).chars().any(is_hidden));
            if !text.chars().any(is_hidden) {
                prop_assert_eq!(&*visible(&text), &*text);
            }
        }

        #[test]
        fn json_says_the_same_without_anything_hidden(
            text in prop::collection::vec(any::<char>(), 0..20),
            control in prop::sample::select(vec!['\u{7f}', '\u{9b}', '\u{202e}', '\u{1b}', '\n']),
        ) {
            let text = format!("{}{control}", text.into_iter().collect::<String>());
            let written = json(&[&text]).unwrap();
            prop_assert!(!written.chars().any(is_hidden), "{}", written);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&written).unwrap(), vec![text]);
        }
    }
}
