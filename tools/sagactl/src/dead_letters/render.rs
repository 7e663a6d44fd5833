//! Dead letters on a terminal. All texts in them are from outside: each stays on its line.

use std::fmt::Write as _;

use shared::{
    dead_letter::LetterSummary,
    http::{LetterView, MessageView, ReasonCounts},
    visible_text::visible,
};
use time::OffsetDateTime;

use crate::text_table::{TextTable, unbroken, wrapped};

/// A bar of the histogram is this long at most.
const BAR_MAX: i64 = 20;

/// A service and its reasons, as a histogram.
pub(super) fn reasons(service: &str, reasons: &ReasonCounts, width: Option<usize>) -> String {
    let name = visible(service);
    let mut text = match reasons.letters {
        0 => format!("{name}  no open dead letters"),
        1 => format!("{name}  1 open dead letter"),
        n => format!("{name}  {n} open dead letters"),
    };
    let most = reasons.items.iter().map(|reason| reason.letters).max().unwrap_or(1);
    let mut table = TextTable::new(["", "", "", ""]);
    for counted in &reasons.items {
        let length = usize::try_from((counted.letters * BAR_MAX + most - 1) / most).unwrap_or(0);
        let (n, what) = (format!("{:>7}", counted.letters), what(&counted.source, &counted.topic));
        table.row([unbroken(&n), what, counted.reason.clone(), "█".repeat(length)]);
    }
    for line in table.lines(width) {
        put(&mut text, format_args!("\n{line}"));
    }
    text
}

/// A letter, in three lines or more on a narrow terminal.
pub(super) fn letter(shown: &LetterSummary, width: Option<usize>) -> String {
    let key = visible(shown.key.as_deref().unwrap_or("–"));
    let (what, reason) = (what(&shown.source, &shown.topic), visible(&shown.reason));
    let (tried, age) = (tried(shown.attempts), age(shown.last_failed_at));
    let lines = [
        wrapped(&format!("  {}  {what}  {reason}", shown.id), width, 4),
        wrapped(&format!("    key {key}, tried {tried}, last {age}"), width, 4),
        wrapped(&format!("    {}", visible(&shown.detail)), width, 4),
    ];
    lines.join("\n")
}

/// All that is known of a letter.
pub(super) fn whole(service: &str, shown: &LetterView) -> String {
    let mut text = format!("Dead letter {} of {}", shown.id, visible(service));
    if let Some(it) = &shown.letter {
        let state = if shown.open { "open" } else { it.settled.as_deref().unwrap_or("closed") };
        for (name, value) in [
            ("state", state.to_owned()),
            ("what", what(&it.source, &it.topic)),
            ("key", it.key.clone().unwrap_or_else(|| "–".to_owned())),
            ("reason", it.reason.clone()),
            ("detail", it.detail.clone()),
            ("tried", format!("{}, last {}", tried(it.attempts), age(it.last_failed_at))),
        ] {
            put(&mut text, format_args!("\n  {name:<8} {}", visible(&value)));
        }
    } else {
        text.push_str("\n  gone; only what was decided about it is known");
    }
    if let Some(message) = &shown.message {
        let (partition, offset) = (message.partition, message.offset);
        if partition < 0 {
            put(&mut text, format_args!("\n  place    none: outbox_id {offset}, never published"));
        } else {
            put(&mut text, format_args!("\n  place    partition {partition}, offset {offset}"));
        }
        content(&mut text, message);
    }
    section(&mut text, "Decided", &shown.decisions, |letter_decision| {
        let because =
            letter_decision.reason.as_deref().map_or(String::new(), |text| format!(": {text}"));
        format!(
            "{} by {}, {}: {}{because}",
            letter_decision.action,
            letter_decision.decided_by,
            age(letter_decision.decided_at),
            letter_decision.outcome
        )
    });
    text
}

fn content(text: &mut String, message: &MessageView) {
    section(text, "Headers", &message.headers, |header| {
        format!("{:<16} {}", header.name, header.value.as_deref().unwrap_or("–"))
    });
    match message.body_bytes {
        None => text.push_str("\nNo body (a tombstone)"),
        Some(bytes) => {
            put(text, format_args!("\nBody, {bytes} bytes"));
            text.push_str(&dump(&message.body_hex));
            if bytes > message.body_hex.len() / 2 {
                text.push_str("\n  …");
            }
        }
    }
}

fn section<T>(text: &mut String, title: &str, items: &[T], line: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    put(text, format_args!("\n{title}"));
    for it in items {
        put(text, format_args!("\n  {}", visible(&line(it))));
    }
}

/// Bytes as people read them: sixteen a line, in digits and as text.
fn dump(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .filter_map(|items| u8::from_str_radix(&items.iter().collect::<String>(), 16).ok())
        .collect();
    let mut text = String::new();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = chunk.iter().map(|n| format!("{n:02x}")).collect();
        let plain: String = chunk
            .iter()
            .map(|n| if n.is_ascii_graphic() || *n == b' ' { char::from(*n) } else { '·' })
            .collect();
        put(&mut text, format_args!("\n  {:04x}  {:<47}  {plain}", row * 16, digits.join(" ")));
    }
    text
}

fn what(source: &str, topic: &str) -> String {
    let topic = visible(topic);
    if source == "job" { format!("job {topic}") } else { topic.into_owned() }
}

fn tried(attempts: i32) -> String {
    match attempts {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long ago is for people, and decides nothing")]
fn age(then: OffsetDateTime) -> String {
    ago((OffsetDateTime::now_utc() - then).whole_seconds())
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..=1 => "just now".to_owned(),
        2..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(more).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn bytes_are_shown_in_digits_and_as_text() {
        let expected = "\n  0000  00 6f 72 64 65 72 73 20 61 62 63 64 65 66 67 68  ·orders abcdefgh\
                        \n  0010  ff                                               ·";
        assert_eq!(dump("006f7264657273206162636465666768ff"), expected);
        assert_eq!(dump(""), "");
    }

    const OUTSIDE: &str = "a\u{1b}]0;t\u{7}\u{9b}2J\r\nforged\u{202e}";
    const SHOWN: &str = "a\\x1b]0;t\\x07\\u{9b}2J\\r\\nforged\\u{202e}";

    #[test]
    fn no_text_from_outside_leaves_its_line_or_reaches_the_terminal() {
        let it = json!({
            "id": Uuid::nil(), "source": OUTSIDE, "topic": OUTSIDE, "key": OUTSIDE,
            "reason": OUTSIDE, "detail": OUTSIDE, "attempts": 2, "settled": OUTSIDE,
            "failed_at": "2026-01-02T03:04:05Z", "last_failed_at": "2026-01-02T03:04:05Z",
        });
        let shown: LetterView = serde_json::from_value(json!({
            "id": Uuid::nil(), "open": false, "letter": it,
            "message": {
                "partition": 0, "offset": 0, "body_bytes": 0, "body_hex": "",
                "headers": [{ "name": OUTSIDE, "value": OUTSIDE }],
            },
            "decisions": [{
                "letter_id": Uuid::nil(), "topic": OUTSIDE, "key": null, "action": OUTSIDE, "outcome": OUTSIDE, "by": OUTSIDE, "reason": OUTSIDE,
                "at": "2026-01-02T03:04:05Z",
            }],
        }))
        .unwrap();
        let counts: ReasonCounts = serde_json::from_value(json!({
            "letters": 1,
            "items": [{ "source": OUTSIDE, "topic": OUTSIDE, "reason": OUTSIDE, "letters": 1 }],
        }))
        .unwrap();
        for (text, lines, times) in [
            (letter(shown.letter.as_ref().unwrap(), None), 3, 4),
            (reasons(OUTSIDE, &counts, None), 2, 3),
            (whole(OUTSIDE, &shown), 13, 12),
        ] {
            assert_eq!(text.lines().count(), lines, "{text}");
            assert_eq!(text.matches(SHOWN).count(), times, "{text}");
            assert_eq!(shared::visible_text::visible_lines(&text), text);
        }
    }

    #[test]
    fn ages_are_rough() {
        for (seconds, expected) in [
            (-5, "just now"),
            (90, "90 s ago"),
            (600, "10 min ago"),
            (7_200, "2 h ago"),
            (864_000, "10 days ago"),
        ] {
            assert_eq!(ago(seconds), expected);
        }
    }
}
