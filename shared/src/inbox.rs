//! The inbox: ids of messages that were processed.
//!
//! **Architecture invariant:** a message's id is inserted in the transaction of its effect, before
//! the effect. A repeat finds the id and has no effect; a crash rolls both back. Ids are inserted
//! sorted, so that two consumers with overlapping batches cannot deadlock.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{clock, message::Message};

/// How long an id is kept. Longer than any topic keeps its message, with time to spare for
/// operators who redrive dead letters.
pub const RETENTION: Duration = Duration::from_hours(21 * 24);

/// The inbox's result for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not seen before: it is to be processed.
    New,
    /// Seen before: nothing is to be done.
    Repeat,
    /// Its id was seen before with other content: two different messages with one id.
    ReusedId,
}

/// Records the messages as processed and says of each, in order, whether it is new.
pub async fn admit(
    conn: &mut PgConnection,
    messages: &[&Message],
) -> Result<Vec<Admission>, sqlx::Error> {
    if messages.is_empty() {
        return Ok(vec![]);
    }
    let contents: Vec<(Uuid, i64)> =
        messages.iter().map(|message| (message.envelope.id, content_hash(message))).collect();
    // Of messages with one id the first is recorded.
    let mut hashes: HashMap<Uuid, i64> = contents.iter().rev().copied().collect();
    let mut ids: Vec<Uuid> = hashes.keys().copied().collect();
    ids.sort_unstable();
    let mut new: HashSet<Uuid> = sqlx::query_scalar(
        "INSERT INTO messaging.inbox (message_id, content_hash)
         SELECT * FROM unnest($1::uuid[], $2::int8[])
         ON CONFLICT DO NOTHING
         RETURNING message_id",
    )
    .bind(&ids)
    .bind(ids.iter().map(|id| hashes[id]).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .collect();
    let known: Vec<Uuid> = ids.into_iter().filter(|id| !new.contains(id)).collect();
    hashes.extend(kept_hashes(conn, &known).await?);

    let admission = |(id, hash): (Uuid, i64)| {
        if hashes[&id] != hash {
            Admission::ReusedId
        } else if new.remove(&id) {
            Admission::New
        } else {
            Admission::Repeat
        }
    };
    Ok(contents.into_iter().map(admission).collect())
}

/// Which of these were processed before, by id and content. Records nothing.
pub(crate) async fn known(
    conn: &mut PgConnection,
    messages: &[&Message],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.envelope.id).collect();
    let kept: HashMap<Uuid, i64> = kept_hashes(conn, &ids).await?.into_iter().collect();
    let is_kept =
        |message: &&&Message| kept.get(&message.envelope.id) == Some(&content_hash(message));
    Ok(messages.iter().filter(is_kept).map(|message| message.envelope.id).collect())
}

/// Deletes the ids of messages that became dead letters: they are new when they are redriven.
pub(crate) async fn forget(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM messaging.inbox WHERE message_id = ANY ($1)")
        .bind(ids)
        .execute(conn)
        .await?;
    Ok(())
}

async fn kept_hashes(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    sqlx::query_as(
        "SELECT message_id, content_hash FROM messaging.inbox WHERE message_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}

/// Deletes up to `n_max` ids older than [`RETENTION`] by the database's clock; says how many. To be
/// called until it says less.
pub async fn purge(conn: &mut PgConnection, n_max: i64) -> Result<u64, sqlx::Error> {
    let oldest: OffsetDateTime = sqlx::query_scalar("SELECT now() - make_interval(secs => $1)")
        .bind(RETENTION.as_secs_f64())
        .fetch_one(&mut *conn)
        .await?;
    // An array is chosen once; a subquery could be run again for each row, and delete more.
    let purged = sqlx::query(
        "DELETE FROM messaging.inbox
         WHERE message_id = ANY (ARRAY (
             SELECT message_id FROM messaging.inbox
             WHERE message_id < $1 ORDER BY message_id LIMIT $2 FOR UPDATE SKIP LOCKED
         ))",
    )
    .bind(clock::first_id_at(oldest))
    .bind(n_max)
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

/// Eight bytes of SHA-256 over a message's origin and content.
fn content_hash(message: &Message) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(message.incoming.topic.as_bytes());
    hasher.update([0]);
    hasher.update(message.incoming.payload.as_deref().unwrap_or_default());
    let digest = hasher.finalize();
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
