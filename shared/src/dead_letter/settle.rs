//! Settling a letter and letting what waits behind it go on: all SQL of it.

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{Lane, Reason, printable};
use crate::{
    inbox,
    message::{Headers, Incoming},
};

/// An open letter, held alone until the transaction ends.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) incoming: Incoming,
    pub(crate) lane: Option<Lane>,
    /// The letter itself is settled; what waits behind it may still wait.
    pub(crate) settled: bool,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Redriven,
    Discarded,
}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) parked_id: i64,
    pub(crate) incoming: Incoming,
}

/// Holds an open letter; none if it is not open. Waits for whoever else holds it.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    letter_id: Uuid,
) -> Result<Option<Held>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT topic, partition, \"offset\", timestamp_ms, key, headers, payload, lane,
                settled IS NOT NULL AS settled
         FROM messaging.dead_letter
         WHERE dead_letter_id = $1 AND closed_at IS NULL
         FOR UPDATE",
    )
    .bind(letter_id)
    .fetch_optional(conn)
    .await?;
    let held = |row: PgRow| {
        let lane: Option<Vec<u8>> = row.try_get("lane")?;
        let lane = lane.and_then(|it| Some(Lane(it.try_into().ok()?)));
        Ok(Held { incoming: incoming(&row)?, lane, settled: row.try_get("settled")? })
    };
    row.map(held).transpose()
}

/// Counts another failure of the letter; says how many there were.
pub(crate) async fn fail_again(
    conn: &mut PgConnection,
    letter_id: Uuid,
    (reason, detail): (Reason, &str),
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

/// Settles the letter itself; its lane, if it has one, stays closed to others.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    letter_id: Uuid,
    settled: Settled,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE messaging.dead_letter
         SET settled = $2, closed_at = CASE WHEN lane IS NULL THEN now() END
         WHERE dead_letter_id = $1",
    )
    .bind(letter_id)
    .bind(match settled {
        Settled::Redriven => "redriven",
        Settled::Discarded => "discarded",
    })
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens the lane again: nothing waits behind the letter any more, or it waits behind another.
pub(crate) async fn close(conn: &mut PgConnection, letter_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE messaging.dead_letter SET closed_at = now() WHERE dead_letter_id = $1")
        .bind(letter_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The first `n_max` that wait in a lane, in their order.
pub(crate) async fn waiting(
    conn: &mut PgConnection,
    lane: Lane,
    n_max: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT parked_id, topic, partition, \"offset\", timestamp_ms, key, headers, payload
         FROM messaging.parked WHERE lane = $1 ORDER BY parked_id LIMIT $2",
    )
    .bind(lane.bytes())
    .bind(n_max)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok(Parked { parked_id: row.try_get("parked_id")?, incoming: incoming(row)? }))
        .collect()
}

/// How many wait in a lane.
pub(crate) async fn count_waiting(conn: &mut PgConnection, lane: Lane) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM messaging.parked WHERE lane = $1")
        .bind(lane.bytes())
        .fetch_one(conn)
        .await
}

/// These do not wait any more.
pub(crate) async fn let_go(conn: &mut PgConnection, parked_ids: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM messaging.parked WHERE parked_id = ANY ($1)")
        .bind(parked_ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes up to `n_max` letters that were closed longer ago than any topic keeps messages; says how
/// many. The record of decisions stays.
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

/// A message as it was kept.
pub(super) fn incoming(row: &PgRow) -> Result<Incoming, sqlx::Error> {
    let headers: Vec<u8> = row.try_get("headers")?;
    let headers = Headers::from_bytes(&headers)
        .ok_or_else(|| sqlx::Error::Decode("headers of a kept message are unreadable".into()))?;
    Ok(Incoming {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        timestamp_ms: row.try_get("timestamp_ms")?,
        key: row.try_get("key")?,
        headers,
        payload: row.try_get("payload")?,
    })
}
