//! Dead letters on a terminal.

use std::fmt::Write as _;

use time::OffsetDateTime;

use super::api::{Letter, Message, Reasons, Service, Shown};

/// A bar of the histogram is this long at most.
const BAR_MAX: i64 = 30;

/// A service and its reasons, as a histogram.
pub(super) fn reasons(service: &Service, reasons: &Reasons) -> String {
    let mut text = match reasons.letters {
        0 => format!("{}  no open dead letters", service.name),
        1 => format!("{}  1 open dead letter", service.name),
        n => format!("{}  {n} open dead letters", service.name),
    };
    let most = reasons.items.iter().map(|it| it.letters).max().unwrap_or(1);
    for it in &reasons.items {
        let length = usize::try_from((it.letters * BAR_MAX + most - 1) / most).unwrap_or(0);
        let what = what(&it.source, &it.topic);
        let bar = "█".repeat(length);
        put(&mut text, format_args!("\n  {:>7}  {what:<26} {:<14} {bar}", it.letters, it.reason));
    }
    text
}

/// A letter, in three lines.
pub(super) fn letter(it: &Letter) -> String {
    let key = it.key.as_deref().unwrap_or("–");
    let mut text = format!("  {}  {:<26} {}", it.id, what(&it.source, &it.topic), it.reason);
    let (tried, age) = (tried(it.attempts), age(it.last_failed_at));
    put(&mut text, format_args!("\n    key {key}, tried {tried}, last {age}{}", waits(it)));
    put(&mut text, format_args!("\n    {}", it.detail));
    text
}

/// All that is known of a letter.
pub(super) fn whole(service: &Service, shown: &Shown) -> String {
    let mut text = format!("Dead letter {} of {}", shown.id, service.name);
    if let Some(it) = &shown.letter {
        let state = match (shown.open, it.settled.as_deref()) {
            (true, None) => "open",
            (true, Some(_)) => "settled, but others still wait behind it",
            (false, settled) => settled.unwrap_or("closed"),
        };
        for (name, value) in [
            ("state", state.to_owned()),
            ("what", what(&it.source, &it.topic)),
            ("key", it.key.clone().unwrap_or_else(|| "–".to_owned())),
            ("reason", it.reason.clone()),
            ("detail", it.detail.clone()),
            ("tried", format!("{}, last {}", tried(it.attempts), age(it.last_failed_at))),
        ] {
            put(&mut text, format_args!("\n  {name:<8} {value}"));
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
    section(&mut text, "Waiting behind it", &shown.waiting, |it| {
        format!("partition {}, offset {}, {}", it.partition, it.offset, age(it.since))
    });
    section(&mut text, "Decided", &shown.decisions, |it| {
        let because = it.reason.as_deref().map_or(String::new(), |it| format!(": {it}"));
        format!("{} by {}, {}: {}{because}", it.action, it.by, age(it.at), it.outcome)
    });
    text
}

fn content(text: &mut String, message: &Message) {
    section(text, "Headers", &message.headers, |it| {
        format!("{:<16} {}", it.name, it.value.as_deref().unwrap_or("–"))
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
        put(text, format_args!("\n  {}", line(it)));
    }
}

/// Bytes as people read them: sixteen a line, in digits and as text.
fn dump(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .filter_map(|it| u8::from_str_radix(&it.iter().collect::<String>(), 16).ok())
        .collect();
    let mut text = String::new();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = chunk.iter().map(|it| format!("{it:02x}")).collect();
        let plain: String = chunk
            .iter()
            .map(|it| if it.is_ascii_graphic() || *it == b' ' { char::from(*it) } else { '·' })
            .collect();
        put(&mut text, format_args!("\n  {:04x}  {:<47}  {plain}", row * 16, digits.join(" ")));
    }
    text
}

fn what(source: &str, topic: &str) -> String {
    if source == "job" { format!("job {topic}") } else { topic.to_owned() }
}

fn tried(attempts: i32) -> String {
    match attempts {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

fn waits(letter: &Letter) -> String {
    let behind = match letter.waiting {
        0 => return String::new(),
        1 => "1 waits behind it".to_owned(),
        n => format!("{n} wait behind it"),
    };
    let settled = letter.settled.as_deref().map_or(String::new(), |it| format!(" ({it})"));
    format!("; {behind}{settled}")
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
    use super::*;

    #[test]
    fn bytes_are_shown_in_digits_and_as_text() {
        let expected = "\n  0000  00 6f 72 64 65 72 73 20 61 62 63 64 65 66 67 68  ·orders abcdefgh\
                        \n  0010  ff                                               ·";
        assert_eq!(dump("006f7264657273206162636465666768ff"), expected);
        assert_eq!(dump(""), "");
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
