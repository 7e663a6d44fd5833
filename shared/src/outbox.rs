//! Messages kept in the same transaction as the change that caused them.
//!
//! **Architecture invariant:** messages are appended while the row of their key is locked, so ids
//! of one key rise in the order of the commits, and the relay, which reads in the order of the ids,
//! keeps each key's order. Rows of other keys may commit late: the relay deletes exactly the rows
//! it published ([`published::settle`](crate::published::settle)) and has no cursor that could run past
//! them.

use std::time::Duration;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    fault::Fault,
    message::{Headers, Outgoing},
};

/// What one message may weigh, with its headers: below what a broker takes by default (1 MiB), so
/// that the relay never holds a message that cannot be published.
pub const MESSAGE_BYTES_MAX: usize = 900 * 1024;

/// How a message cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than [`MESSAGE_BYTES_MAX`].
    #[error("a message for {topic} weighs {bytes} bytes, more than {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// Where it was to go.
        topic: String,
        /// What it weighs.
        bytes: usize,
    },
    /// The database refused.
    #[error("the outbox is out of reach")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge { .. } => Self::poison(error),
            Error::Database(error) => error.into(),
        }
    }
}

/// Keeps the messages, in the order given, as part of the caller's transaction.
pub async fn append(conn: &mut PgConnection, messages: &[Outgoing]) -> Result<(), Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let headers: Vec<Vec<u8>> = messages.iter().map(|it| it.headers.to_bytes()).collect();
    for (message, headers) in messages.iter().zip(&headers) {
        let bytes = headers.len()
            + message.payload.as_ref().map_or(0, Vec::len)
            + message.key.as_ref().map_or(0, Vec::len);
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Error::TooLarge { topic: message.topic.to_string(), bytes });
        }
    }
    sqlx::query(
        "INSERT INTO messaging.outbox (message_id, topic, key, headers, payload)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])",
    )
    .bind(messages.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(messages.iter().map(|it| it.topic.as_ref()).collect::<Vec<_>>())
    .bind(messages.iter().map(|it| it.key.as_deref()).collect::<Vec<_>>())
    .bind(headers)
    .bind(messages.iter().map(|it| it.payload.as_deref()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// A message and its place in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place.
    pub outbox_id: i64,
    /// When it was kept.
    pub created_at: OffsetDateTime,
    /// What is to be published.
    pub message: Outgoing,
}

/// Reads the first `n_max` messages from the head, in the order in which they were kept.
pub async fn head(conn: &mut PgConnection, n_max: i64) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query(
        "SELECT outbox_id, created_at, message_id, topic, key, headers, payload
         FROM messaging.outbox ORDER BY outbox_id LIMIT $1",
    )
    .bind(n_max)
    .fetch_all(conn)
    .await?
    .iter()
    .map(kept)
    .collect()
}

/// A message as it was kept.
pub(crate) fn kept(row: &PgRow) -> Result<Kept, sqlx::Error> {
    let headers: Vec<u8> = row.try_get("headers")?;
    let headers = Headers::from_bytes(&headers)
        .ok_or_else(|| sqlx::Error::Decode("headers of an outbox row are unreadable".into()))?;
    Ok(Kept {
        outbox_id: row.try_get("outbox_id")?,
        created_at: row.try_get("created_at")?,
        message: Outgoing {
            id: row.try_get("message_id")?,
            topic: row.try_get::<String, _>("topic")?.into(),
            key: row.try_get("key")?,
            headers,
            payload: row.try_get("payload")?,
        },
    })
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many messages.
    pub messages: u64,
    /// How long the oldest of them has waited, by the database's clock.
    pub age: Duration,
}

/// Looks at what waits, no further than `n_max` messages from the head.
pub async fn backlog(conn: &mut PgConnection, n_max: i64) -> Result<Backlog, sqlx::Error> {
    let (messages, seconds): (i64, f64) = sqlx::query_as(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
         FROM (SELECT created_at FROM messaging.outbox ORDER BY outbox_id LIMIT $1) AS head",
    )
    .bind(n_max)
    .fetch_one(conn)
    .await?;
    // A clock that was set back makes an age that is none.
    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(Backlog { messages: messages.unsigned_abs(), age })
}
