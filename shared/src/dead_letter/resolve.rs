//! Resolving a letter: all its SQL.

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{FailureReason, printable};
use crate::{
    inbox,
    message::{IncomingMessage, MessageHeaders},
};

/// The way in which a letter is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetterEnd {
    Redriven,
    Discarded,
}

/// Locks an open letter and returns its message; none if it is not open. Waits for another
/// transaction that has locked it.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    letter_id: Uuid,
) -> Result<Option<IncomingMessage>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT topic, partition, \"offset\", timestamp_ms, key, headers, payload
         FROM messaging.dead_letter
         WHERE dead_letter_id = $1 AND closed_at IS NULL
         FOR UPDATE",
    )
    .bind(letter_id)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(incoming).transpose()
}

/// Counts another failure of the letter; returns the number of failures.
pub(crate) async fn fail_again(
    conn: &mut PgConnection,
    letter_id: Uuid,
    (reason, detail): (FailureReason, &str),
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE messaging.dead_letter
         SET attempts = attempts + 1, reason = $2, detail = $3, last_failed_at = now()
         WHERE dead_letter_id = $1
         RETURNING attempts",
    )
    .bind(letter_id)
    .bind(reason.code())
    .bind(printable(detail))
    .fetch_one(conn)
    .await
}

/// Closes the letter and records the decision.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    letter_id: Uuid,
    settled: LetterEnd,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE messaging.dead_letter SET settled = $2, closed_at = now()
         WHERE dead_letter_id = $1",
    )
    .bind(letter_id)
    .bind(match settled {
        LetterEnd::Redriven => "redriven",
        LetterEnd::Discarded => "discarded",
    })
    .execute(conn)
    .await?;
    Ok(())
}

/// The oldest open letters that an earlier version of this software had parked behind others.
pub(crate) async fn parked(conn: &mut PgConnection, n_max: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT dead_letter_id FROM messaging.dead_letter
         WHERE closed_at IS NULL AND reason = 'parked'
         ORDER BY failed_at, dead_letter_id LIMIT $1",
    )
    .bind(n_max)
    .fetch_all(conn)
    .await
}

/// Deletes up to `n_max` letters that were closed longer ago than any topic keeps messages; returns
/// their number. The record of decisions stays.
pub async fn purge(conn: &mut PgConnection, n_max: i64) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query(
        "DELETE FROM messaging.dead_letter
         WHERE dead_letter_id = ANY (ARRAY (
             SELECT dead_letter_id FROM messaging.dead_letter
             WHERE closed_at < now() - make_interval(secs => $1)
             ORDER BY closed_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ))",
    )
    .bind(inbox::RETENTION.as_secs_f64())
    .bind(n_max)
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

/// A message as it is stored.
pub(super) fn incoming(row: &PgRow) -> Result<IncomingMessage, sqlx::Error> {
    let headers: Vec<u8> = row.try_get("headers")?;
    let headers = MessageHeaders::from_bytes(&headers)
        .ok_or_else(|| sqlx::Error::Decode("headers of a kept message are unreadable".into()))?;
    Ok(IncomingMessage {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        timestamp_ms: row.try_get("timestamp_ms")?,
        key: row.try_get("key")?,
        headers,
        payload: row.try_get("payload")?,
    })
}
