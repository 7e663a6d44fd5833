//! Dead letters as they are shown over HTTP.

use std::{fmt::Write as _, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    dead_letter::{LetterDecision, LetterRecord, LetterSummary, ReasonCount, StoredLetter},
    http::{ListPage, PageLimit},
    message::IncomingMessage,
};

/// Bytes of a body that are shown, at most.
const BODY_SHOWN_MAX: usize = 1_024;

/// Where the next page begins: the time and the id of the last letter of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LetterCursor {
    pub(super) at: OffsetDateTime,
    pub(super) id: Uuid,
}

impl LetterCursor {
    fn text(self) -> String {
        format!("{}.{}", self.at.unix_timestamp_nanos() / 1_000, self.id.simple())
    }
}

impl FromStr for LetterCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (micros, id) = text.split_once('.')?;
            let nanos = micros.parse::<i64>().ok().map(|n| i128::from(n) * 1_000)?;
            let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
            Some(Self { at, id: Uuid::parse_str(id).ok()? })
        };
        parse().ok_or("is not the next_cursor of a page")
    }
}

impl<'de> Deserialize<'de> for LetterCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A page of open letters, of which one more was read than is shown, if there is one.
pub(super) fn page(rows: Vec<LetterSummary>, limit: PageLimit) -> ListPage<LetterSummary> {
    let cursor =
        |letter: &LetterSummary| LetterCursor { at: letter.failed_at, id: letter.id }.text();
    ListPage::of(rows, limit, cursor, |letter| letter)
}

/// How many letters there are of each topic and reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReasonCounts {
    /// The number of letters in all groups together.
    pub letters: i64,
    /// The most frequent first.
    pub items: Vec<ReasonCount>,
}

impl ReasonCounts {
    pub(super) fn of(items: Vec<ReasonCount>) -> Self {
        Self { letters: items.iter().map(|item| item.letters).sum(), items }
    }
}

/// The latest decisions about dead letters, newest first.
#[derive(Debug, Serialize)]
pub(super) struct DecisionsView {
    pub(super) items: Vec<LetterDecision>,
}

/// All that is known of a letter.
#[derive(Debug, Serialize, Deserialize)]
pub struct LetterView {
    /// The letter's id, a version 7 UUID.
    pub id: Uuid,
    /// Whether it waits for a decision.
    pub open: bool,
    /// Left out if only the decisions about it are still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<LetterSummary>,
    /// Left out of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageView>,
    /// The decisions about this letter, oldest first.
    pub decisions: Vec<LetterDecision>,
}

/// A message as it came.
#[derive(Debug, Serialize, Deserialize)]
pub struct MessageView {
    /// Negative, if it was never published.
    pub partition: i32,
    /// Its offset; of a message that was never published its id in the outbox.
    pub offset: i64,
    /// The headers of the message, in their order.
    pub headers: Vec<HeaderView>,
    /// Length of the body; none, if there is no body.
    pub body_bytes: Option<usize>,
    /// The first bytes of the body, as hexadecimal digits.
    pub body_hex: String,
}

/// A header, as text.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeaderView {
    /// The name of the header.
    pub name: String,
    /// The header's value, if it has one.
    pub value: Option<String>,
}

impl LetterView {
    pub(super) fn of(id: Uuid, LetterRecord { letter, decisions }: LetterRecord) -> Self {
        let Some(StoredLetter { summary, open, message }) = letter else {
            return Self { id, open: false, letter: None, message: None, decisions };
        };
        let message = message.as_ref().map(MessageView::of);
        Self { id, open, letter: Some(summary), message, decisions }
    }
}

impl MessageView {
    fn of(incoming: &IncomingMessage) -> Self {
        let headers = incoming.headers.iter().map(|(name, value)| HeaderView {
            name: name.to_owned(),
            value: value.map(|value| String::from_utf8_lossy(value).into_owned()),
        });
        let body = incoming.payload.as_deref();
        let shown = body.unwrap_or_default().iter().take(BODY_SHOWN_MAX);
        let body_hex = shown.fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        });
        Self {
            partition: incoming.partition,
            offset: incoming.offset,
            headers: headers.collect(),
            body_bytes: body.map(<[u8]>::len),
            body_hex,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor =
            LetterCursor { at: datetime!(2026-01-02 03:04:05.678901 UTC), id: Uuid::max() };
        assert_eq!(cursor.text().parse(), Ok(cursor));
        for bad in ["", ".", "1.2", "x.00000000000000000000000000000000", "9223372036854775807.0"] {
            assert!(bad.parse::<LetterCursor>().is_err(), "{bad}");
        }
    }
}
