//! What has been taken in already.
//!
//! **Architecture invariant:** a message's id is inserted in the transaction of its effect, before
//! the effect. A repeat finds it and has no effect; a crash takes both away together. Ids go in
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

/// For so long a message is known again. Longer than any topic keeps it, with time to spare for
/// those who redrive dead letters.
pub const RETENTION: Duration = Duration::from_hours(21 * 24);

/// What became of a batch at the door. Indices are places in the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Not seen before: to be taken in.
    pub fresh: Vec<usize>,
    /// Seen before: nothing is to be done.
    pub repeats: Vec<usize>,
    /// The id was seen before on other content: two different messages under one name.
    pub imposters: Vec<usize>,
}

/// Records the messages as taken in and says which are new.
pub async fn admit(
    conn: &mut PgConnection,
    messages: &[&Message],
) -> Result<Admitted, sqlx::Error> {
    let mut hashes: HashMap<Uuid, i64> = HashMap::with_capacity(messages.len());
    for message in messages {
        hashes.entry(message.envelope.id).or_insert_with(|| content_hash(message));
    }
    let mut ids: Vec<Uuid> = hashes.keys().copied().collect();
    ids.sort_unstable();
    let mut fresh: HashSet<Uuid> = sqlx::query_scalar(
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
    let known: Vec<Uuid> = ids.into_iter().filter(|id| !fresh.contains(id)).collect();
    hashes.extend(kept_hashes(conn, &known).await?);

    let mut admitted = Admitted::default();
    for (index, message) in messages.iter().enumerate() {
        let place = if hashes[&message.envelope.id] != content_hash(message) {
            &mut admitted.imposters
        } else if fresh.remove(&message.envelope.id) {
            &mut admitted.fresh
        } else {
            &mut admitted.repeats
        };
        place.push(index);
    }
    Ok(admitted)
}

/// Which of these are known already, by id and content. Records nothing.
pub(crate) async fn known(
    conn: &mut PgConnection,
    messages: &[&Message],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|it| it.envelope.id).collect();
    let kept: HashMap<Uuid, i64> = kept_hashes(conn, &ids).await?.into_iter().collect();
    let is_kept = |it: &&&Message| kept.get(&it.envelope.id) == Some(&content_hash(it));
    Ok(messages.iter().filter(is_kept).map(|it| it.envelope.id).collect())
}

/// These were not taken in after all: they are dead letters, and will be new when they are tried
/// again.
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

/// Eight bytes of SHA-256 over where it came from and what it says.
fn content_hash(message: &Message) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(message.incoming.topic.as_bytes());
    hasher.update([0]);
    hasher.update(message.incoming.payload.as_deref().unwrap_or_default());
    let digest = hasher.finalize();
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
