//! The operator's view: a page of open letters, their reasons, one letter in full.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _};
use time::{OffsetDateTime, serde::rfc3339};
use uuid::Uuid;

use super::resolve::incoming;
use crate::message::IncomingMessage;

/// The filter of letters: a letter must match all given values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LetterFilter {
    /// A message's topic, or a job's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The code of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only letters of messages with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A letter without its message, as it is stored, and as it is listed over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterSummary {
    /// The letter's id, a version 7 UUID.
    pub id: Uuid,
    /// What became a dead letter: `message` or `job`.
    pub source: String,
    /// A message's topic, or a job's kind.
    pub topic: String,
    /// The key of the message or job, as far as it is text.
    pub key: Option<String>,
    /// The code of the reason.
    pub reason: String,
    /// The detail of the error.
    pub detail: String,
    /// How often it has failed.
    pub attempts: i32,
    /// When the message or job became dead.
    #[serde(with = "rfc3339")]
    pub failed_at: OffsetDateTime,
    /// When it last failed.
    #[serde(with = "rfc3339")]
    pub last_failed_at: OffsetDateTime,
    /// `redriven` or `discarded`, once it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<String>,
}

/// How many open letters have the same topic and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// What became a dead letter: `message` or `job`.
    pub source: String,
    /// A message's topic, or a job's kind.
    pub topic: String,
    /// The code of the reason.
    pub reason: String,
    /// How many letters the group holds.
    pub letters: i64,
}

/// A letter, open or closed, with all its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// All data except the message.
    pub summary: LetterSummary,
    /// Whether it is open.
    pub open: bool,
    /// The message as it came; none for a job.
    pub message: Option<IncomingMessage>,
}

/// A decision about a letter, as it is stored, and as it is listed over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, Serialize, Deserialize)]
pub struct LetterDecision {
    /// The letter that was decided about.
    pub letter_id: Uuid,
    /// A message's topic, or a job's kind.
    pub topic: String,
    /// The key of the letter's message.
    pub key: Option<String>,
    /// The requested decision: `redrive` or `discard`.
    pub action: String,
    /// The outcome: `processed`, `still-dead`, `put-back`, `discarded`.
    pub outcome: String,
    /// The operator's name, or the service's own process.
    #[serde(rename = "by")]
    pub decided_by: String,
    /// The reason that the operator gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the decision was made, UTC.
    #[serde(rename = "at", with = "rfc3339")]
    pub decided_at: OffsetDateTime,
}

/// The data that are shown of one letter id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRecord {
    /// The letter; none if it was a job that is not dead any more, or was closed long ago.
    pub letter: Option<StoredLetter>,
    /// The decisions about it, oldest first.
    pub decisions: Vec<LetterDecision>,
}

/// The most decisions that are shown of one letter.
const SHOWN_MAX: i64 = 50;

/// Open letters, oldest first, after the one of this time and id.
pub async fn list(
    conn: &mut PgConnection,
    filter: &LetterFilter,
    after: Option<(OffsetDateTime, Uuid)>,
    n_max: i64,
) -> Result<Vec<LetterSummary>, sqlx::Error> {
    let (after_at, after_id) = after.unzip();
    let rows = sqlx::query(
        "SELECT *, NULL AS settled FROM messaging.open_letter
         WHERE ($1::text IS NULL OR topic = $1) AND ($2::text IS NULL OR reason = $2)
           AND ($3::text IS NULL OR key = convert_to($3, 'UTF8'))
           AND ($4::timestamptz IS NULL OR (failed_at, letter_id) > ($4, $5))
         ORDER BY failed_at, letter_id
         LIMIT $6",
    )
    .bind(&filter.topic)
    .bind(&filter.reason)
    .bind(&filter.key)
    .bind(after_at)
    .bind(after_id)
    .bind(n_max)
    .fetch_all(conn)
    .await?;
    rows.iter().map(summary).collect()
}

/// The number of open letters per topic and reason, the most frequent first.
pub async fn reasons(
    conn: &mut PgConnection,
    filter: &LetterFilter,
) -> Result<Vec<ReasonCount>, sqlx::Error> {
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "SELECT source, topic, reason, count(*)
         FROM messaging.open_letter
         WHERE ($1::text IS NULL OR topic = $1) AND ($2::text IS NULL OR reason = $2)
           AND ($3::text IS NULL OR key = convert_to($3, 'UTF8'))
         GROUP BY 1, 2, 3
         ORDER BY 4 DESC, 1, 2, 3",
    )
    .bind(&filter.topic)
    .bind(&filter.reason)
    .bind(&filter.key)
    .fetch_all(conn)
    .await?;
    let count = |(source, topic, reason, letters)| ReasonCount { source, topic, reason, letters };
    Ok(rows.into_iter().map(count).collect())
}

/// All data of one id; none if there was never a letter of that id.
pub async fn show(conn: &mut PgConnection, id: Uuid) -> Result<Option<LetterRecord>, sqlx::Error> {
    let letter = match message_letter(conn, id).await? {
        Some(letter) => Some(letter),
        None => job_letter(conn, id).await?,
    };
    let decisions = sqlx::query_as(
        "SELECT letter_id, topic, key, action, outcome, decided_by, reason, decided_at
         FROM messaging.dead_letter_decision
         WHERE letter_id = $1 ORDER BY decision_id DESC LIMIT $2",
    )
    .bind(id)
    .bind(SHOWN_MAX)
    .fetch_all(conn)
    .await?;
    let mut shown = LetterRecord { letter, decisions };
    shown.decisions.reverse();
    Ok((shown.letter.is_some() || !shown.decisions.is_empty()).then_some(shown))
}

/// The latest decisions, newest first.
pub async fn decisions(
    conn: &mut PgConnection,
    n_max: i64,
) -> Result<Vec<LetterDecision>, sqlx::Error> {
    sqlx::query_as(
        "SELECT letter_id, topic, key, action, outcome, decided_by, reason, decided_at
         FROM messaging.dead_letter_decision ORDER BY decision_id DESC LIMIT $1",
    )
    .bind(n_max)
    .fetch_all(conn)
    .await
}

async fn message_letter(
    conn: &mut PgConnection,
    id: Uuid,
) -> Result<Option<StoredLetter>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT dead_letter_id AS letter_id, 'message' AS source, topic, partition, \"offset\",
                timestamp_ms, key, headers, payload, reason, detail, attempts, failed_at,
                last_failed_at, settled, closed_at IS NULL AS open
         FROM messaging.dead_letter WHERE dead_letter_id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    let letter = |row| {
        let message = Some(incoming(&row)?);
        Ok(StoredLetter { summary: summary(&row)?, open: row.try_get("open")?, message })
    };
    row.map(letter).transpose()
}

async fn job_letter(
    conn: &mut PgConnection,
    id: Uuid,
) -> Result<Option<StoredLetter>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT *, NULL AS settled FROM messaging.open_letter
         WHERE letter_id = $1 AND source = 'job'",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    let letter = |row| Ok(StoredLetter { summary: summary(&row)?, open: true, message: None });
    row.map(letter).transpose()
}

fn summary(row: &sqlx::postgres::PgRow) -> Result<LetterSummary, sqlx::Error> {
    let key: Option<Vec<u8>> = row.try_get("key")?;
    Ok(LetterSummary {
        id: row.try_get("letter_id")?,
        source: row.try_get("source")?,
        topic: row.try_get("topic")?,
        key: key.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        attempts: row.try_get("attempts")?,
        failed_at: row.try_get("failed_at")?,
        last_failed_at: row.try_get("last_failed_at")?,
        settled: row.try_get("settled")?,
    })
}
