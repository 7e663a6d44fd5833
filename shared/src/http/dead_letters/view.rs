//! Dead letters as they are shown.

use std::{fmt::Write as _, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    dead_letter::{Carried, Decided, Letter, ReasonCount, Shown, Summary},
    http::{Page, PageLimit},
    message::Incoming,
};

/// Bytes of a body that are shown, at most.
const BODY_SHOWN_MAX: usize = 1_024;

/// Where the next page begins: the time and the name of the last letter of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: OffsetDateTime,
    pub(super) id: Uuid,
}

impl Cursor {
    fn text(self) -> String {
        format!("{}.{}", self.at.unix_timestamp_nanos() / 1_000, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (micros, id) = text.split_once('.')?;
            let nanos = micros.parse::<i64>().ok().map(|it| i128::from(it) * 1_000)?;
            let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
            Some(Self { at, id: Uuid::parse_str(id).ok()? })
        };
        parse().ok_or("it is not the next_cursor of a page")
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A page of open letters, of which one more was read than is shown, if there is one.
pub(super) fn page(rows: Vec<Summary>, limit: PageLimit) -> Page<SummaryView> {
    let cursor = |it: &Summary| Cursor { at: it.failed_at, id: it.id }.text();
    Page::of(rows, limit, cursor, SummaryView::of)
}

/// A letter, in short.
#[derive(Debug, Serialize)]
pub(super) struct SummaryView {
    id: Uuid,
    source: String,
    topic: String,
    key: Option<String>,
    reason: String,
    detail: String,
    attempts: i32,
    #[serde(with = "time::serde::rfc3339")]
    failed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_failed_at: OffsetDateTime,
    /// `redriven` or `discarded`, while what waits behind it still waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<String>,
    /// Messages that wait behind it.
    waiting: i64,
}

impl SummaryView {
    fn of(it: Summary) -> Self {
        Self {
            id: it.id,
            source: it.source,
            topic: it.topic,
            key: it.key,
            reason: it.reason,
            detail: it.detail,
            attempts: it.attempts,
            failed_at: it.failed_at,
            last_failed_at: it.last_failed_at,
            settled: it.settled,
            waiting: it.waiting,
        }
    }
}

/// How many letters there are of each topic and reason.
#[derive(Debug, Serialize)]
pub(super) struct ReasonsView {
    letters: i64,
    items: Vec<ReasonView>,
}

#[derive(Debug, Serialize)]
struct ReasonView {
    source: String,
    topic: String,
    reason: String,
    letters: i64,
}

impl ReasonsView {
    pub(super) fn of(counts: Vec<ReasonCount>) -> Self {
        let letters = counts.iter().map(|it| it.letters).sum();
        let item = |ReasonCount { source, topic, reason, letters }| ReasonView {
            source,
            topic,
            reason,
            letters,
        };
        Self { letters, items: counts.into_iter().map(item).collect() }
    }
}

/// What was decided last.
#[derive(Debug, Serialize)]
pub(super) struct DecisionsView {
    items: Vec<DecisionView>,
}

impl DecisionsView {
    pub(super) fn of(decisions: Vec<Decided>) -> Self {
        Self { items: decisions.into_iter().map(DecisionView::of).collect() }
    }
}

/// A decision.
#[derive(Debug, Serialize)]
struct DecisionView {
    letter_id: Uuid,
    topic: String,
    key: Option<String>,
    action: String,
    outcome: String,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl DecisionView {
    fn of(it: Decided) -> Self {
        Self {
            letter_id: it.letter_id,
            topic: it.topic,
            key: it.key,
            action: it.action,
            outcome: it.outcome,
            by: it.decided_by,
            reason: it.reason,
            at: it.decided_at,
        }
    }
}

/// All that is known of a letter.
#[derive(Debug, Serialize)]
pub(super) struct LetterView {
    id: Uuid,
    open: bool,
    /// Left out if only the decisions about it are still known.
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<SummaryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageView>,
    waiting: Vec<WaitingView>,
    decisions: Vec<DecisionView>,
}

/// A message as it came.
#[derive(Debug, Serialize)]
struct MessageView {
    partition: i32,
    offset: i64,
    headers: Vec<HeaderView>,
    /// What the body weighs; nothing, if there is none.
    body_bytes: Option<usize>,
    /// The beginning of the body, as hexadecimal digits.
    body_hex: String,
}

#[derive(Debug, Serialize)]
struct HeaderView {
    name: String,
    value: Option<String>,
}

#[derive(Debug, Serialize)]
struct WaitingView {
    partition: i32,
    offset: i64,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
}

impl LetterView {
    pub(super) fn of(id: Uuid, Shown { letter, decisions }: Shown) -> Self {
        let decisions = decisions.into_iter().map(DecisionView::of).collect();
        let Some(Letter { summary, open, message, waiting }) = letter else {
            return Self {
                id,
                open: false,
                letter: None,
                message: None,
                waiting: vec![],
                decisions,
            };
        };
        let waiting = waiting.into_iter().map(|it| WaitingView {
            partition: it.partition,
            offset: it.offset,
            since: it.parked_at,
        });
        Self {
            id,
            open,
            letter: Some(SummaryView::of(summary)),
            message: message.as_ref().map(MessageView::of),
            waiting: waiting.collect(),
            decisions,
        }
    }
}

impl MessageView {
    fn of(incoming: &Incoming) -> Self {
        let headers = incoming.headers.iter().map(|(name, value)| HeaderView {
            name: name.to_owned(),
            value: value.map(|it| String::from_utf8_lossy(it).into_owned()),
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

/// What came of a decision.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(super) enum CarriedView {
    /// It was settled before.
    NotOpen,
    /// It failed again and stays where it is.
    StillDead { attempts: i32, reason: &'static str, detail: String },
    /// It is settled.
    Settled {
        /// So many that waited behind it were taken in.
        went_on: usize,
        /// So many still wait.
        left: i64,
        /// Why one of those that waited is dead itself; the rest waits behind it.
        #[serde(skip_serializing_if = "Option::is_none")]
        now_behind: Option<String>,
    },
    /// The job is on its way again.
    PutBack,
}

impl CarriedView {
    pub(super) fn of(carried: Carried) -> Self {
        match carried {
            Carried::NotOpen => Self::NotOpen,
            Carried::StillDead { attempts, reason, detail } => {
                Self::StillDead { attempts, reason, detail }
            }
            Carried::Settled { went_on, left, now_behind } => {
                Self::Settled { went_on, left, now_behind }
            }
            Carried::PutBack => Self::PutBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor { at: datetime!(2026-01-02 03:04:05.678901 UTC), id: Uuid::max() };
        assert_eq!(cursor.text().parse(), Ok(cursor));
        for bad in ["", ".", "1.2", "x.00000000000000000000000000000000", "9223372036854775807.0"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
