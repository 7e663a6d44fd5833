//! The transactional outbox: messages stored in the transaction of the change that caused them.
//!
//! **Architecture invariant:** messages are appended while the row of their key is locked, so ids
//! of one key rise in the order of the commits, and the relay, which reads in the order of the ids,
//! keeps each key's order. Rows of other keys may commit late: the relay deletes exactly the rows
//! it published ([`published::settle`](crate::published::settle)) and has no cursor that could pass
//! late rows. Queries begin at a [`OutboxFloor`], below which no row can appear any more.

use std::time::Duration;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{
    fault::Fault,
    message::{MessageHeaders, OutgoingMessage},
};

pub(crate) use self::floor::OutboxFloor;
use self::floor::floor;
pub(crate) use self::if_leading::if_leading;

mod floor;
mod if_leading;

/// The largest size of a message with its headers: below a broker's default limit (1 MiB). That a
/// topic accepts this size is checked when a service starts ([`crate::topics`]); a message that the
/// topic refuses later is a dead letter.
pub const MESSAGE_BYTES_MAX: usize = 900 * 1024;

/// Why a message cannot be stored in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The message is larger than [`MESSAGE_BYTES_MAX`].
    #[error("a message for {topic} weighs {bytes} bytes, more than {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// The topic of the message.
        topic: String,
        /// The size of the encoded message.
        bytes: usize,
    },
    /// The database refused the insert.
    #[error("the outbox is out of reach")]
    Database(#[from] sqlx::Error),
}

impl From<OutboxError> for Fault {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::TooLarge { .. } => Self::poison(error),
            OutboxError::Database(error) => error.into(),
        }
    }
}

/// Stores the messages, in the order given, as part of the caller's transaction.
pub async fn append(
    conn: &mut PgConnection,
    messages: &[OutgoingMessage],
) -> Result<(), OutboxError> {
    if messages.is_empty() {
        return Ok(());
    }
    let headers: Vec<Vec<u8>> = messages.iter().map(|message| message.headers.to_bytes()).collect();
    for (message, headers) in messages.iter().zip(&headers) {
        let bytes = headers.len()
            + message.payload.as_ref().map_or(0, Vec::len)
            + message.key.as_ref().map_or(0, Vec::len);
        if bytes > MESSAGE_BYTES_MAX {
            return Err(OutboxError::TooLarge { topic: message.topic.to_string(), bytes });
        }
    }
    sqlx::query(
        "INSERT INTO messaging.outbox (message_id, topic, key, headers, payload)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])",
    )
    .bind(messages.iter().map(|message| message.id).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| message.topic.as_ref()).collect::<Vec<_>>())
    .bind(messages.iter().map(|message| message.key.as_deref()).collect::<Vec<_>>())
    .bind(headers)
    .bind(messages.iter().map(|message| message.payload.as_deref()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// A message and its place in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's id, which orders the outbox.
    pub outbox_id: i64,
    /// When the message was stored.
    pub created_at: OffsetDateTime,
    /// The message to publish.
    pub message: OutgoingMessage,
}

/// Selects the topics whose messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicSelection<'t> {
    /// Messages of all topics but these.
    Beside(&'t [&'t str]),
    /// Messages of this topic only.
    Of(&'t str),
}

/// Reads the first `n_max` messages from the head, in the order in which they were stored.
pub async fn head(conn: &mut PgConnection, n_max: i64) -> Result<Vec<OutboxRow>, sqlx::Error> {
    head_of(conn, n_max, TopicSelection::Beside(&[])).await
}

/// As [`head`], of some topics. Each row of another topic is read and skipped.
pub(crate) async fn head_of(
    conn: &mut PgConnection,
    n_max: i64,
    which: TopicSelection<'_>,
) -> Result<Vec<OutboxRow>, sqlx::Error> {
    let (held, only) = match which {
        TopicSelection::Beside(topics) => (topics, None),
        TopicSelection::Of(topic) => (&[][..], Some(topic)),
    };
    sqlx::query(concat!(
        "SELECT outbox_id, created_at, message_id, topic, key, headers, payload
         FROM messaging.outbox
         WHERE topic <> ALL ($2) AND topic = coalesce($3, topic) AND outbox_id > ",
        floor!(),
        " ORDER BY outbox_id LIMIT $1"
    ))
    .bind(n_max)
    .bind(held)
    .bind(only)
    .fetch_all(conn)
    .await?
    .iter()
    .map(kept)
    .collect()
}

/// Decodes a stored message from its row.
pub(crate) fn kept(row: &PgRow) -> Result<OutboxRow, sqlx::Error> {
    let headers: Vec<u8> = row.try_get("headers")?;
    let headers = MessageHeaders::from_bytes(&headers)
        .ok_or_else(|| sqlx::Error::Decode("headers of an outbox row are unreadable".into()))?;
    Ok(OutboxRow {
        outbox_id: row.try_get("outbox_id")?,
        created_at: row.try_get("created_at")?,
        message: OutgoingMessage {
            id: row.try_get("message_id")?,
            topic: row.try_get::<String, _>("topic")?.into(),
            key: row.try_get("key")?,
            headers,
            payload: row.try_get("payload")?,
        },
    })
}

/// Deletes exactly these rows, if `epoch` is still the relay's; returns whether it is. Only for
/// unpublished messages: [`published::settle`](crate::published::settle) keeps published ones.
///
/// The epoch is checked in the transaction that deletes: a relay that was replaced while it was
/// suspended cannot settle anything.
pub async fn settle(
    conn: &mut PgConnection,
    epoch: i64,
    outbox_ids: &[i64],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(if_leading!(
        "settled AS (
             DELETE FROM messaging.outbox USING lease WHERE outbox_id = ANY ($2)
         )"
    ))
    .bind(epoch)
    .bind(outbox_ids)
    .fetch_one(conn)
    .await
}

/// The messages that wait in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxBacklog {
    /// The number of messages that wait.
    pub messages: u64,
    /// How long the oldest waiting message has waited, by the database's clock. Messages that wait
    /// only because their topic is held (see [`crate::relay`]) are not counted.
    pub age: Duration,
}

/// Measures the backlog, no further than `n_max` messages from the head.
pub async fn backlog(conn: &mut PgConnection, n_max: i64) -> Result<OutboxBacklog, sqlx::Error> {
    let (messages, seconds): (i64, f64) = sqlx::query_as(concat!(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at) FILTER (
                    WHERE topic <> ALL (ARRAY (SELECT topic FROM messaging.held_topic)))), 0)::float8
         FROM (SELECT created_at, topic FROM messaging.outbox WHERE outbox_id > ",
        floor!(),
        " ORDER BY outbox_id LIMIT $1) AS head"
    ))
    .bind(n_max)
    .fetch_one(conn)
    .await?;
    // A clock that was set back gives a negative age, which counts as zero.
    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(OutboxBacklog { messages: messages.unsigned_abs(), age })
}
