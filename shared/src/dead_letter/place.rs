//! The place of a message in Kafka, and whether it has a letter already.

use std::fmt;

use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::message::IncomingMessage;

/// A message in Kafka: its offset, and a digest of its content. The offset alone does not identify
/// a message: a recreated topic begins at 0 with other messages, and the Kafka client does not
/// report a topic's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessagePlace {
    /// Without the deployment's prefix.
    pub topic: String,
    /// The partition's number within its topic.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// The digest that tells it from another message of the same offset.
    digest: [u8; 32],
}

impl MessagePlace {
    /// The place at which a message was read.
    pub(crate) fn of(incoming: &IncomingMessage) -> Self {
        let IncomingMessage { topic, partition, offset, .. } = incoming;
        let (partition, offset) = (*partition, *offset);
        Self { topic: topic.clone(), partition, offset, digest: incoming.digest() }
    }
}

impl fmt::Display for MessagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Which of these messages have a letter already, open or closed.
pub(crate) async fn known(
    conn: &mut PgConnection,
    places: &[MessagePlace],
) -> Result<Vec<MessagePlace>, sqlx::Error> {
    if places.is_empty() {
        return Ok(vec![]);
    }
    let rows = sqlx::query(
        "SELECT topic, partition, \"offset\", digest
         FROM messaging.dead_letter
         JOIN unnest($1::text[], $2::int4[], $3::int8[], $4::bytea[])
                  AS asked (topic, partition, \"offset\", digest)
             USING (topic, partition, \"offset\", digest)",
    )
    .bind(places.iter().map(|place| place.topic.as_str()).collect::<Vec<_>>())
    .bind(places.iter().map(|place| place.partition).collect::<Vec<_>>())
    .bind(places.iter().map(|place| place.offset).collect::<Vec<_>>())
    .bind(places.iter().map(|place| place.digest.as_slice()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    rows.iter().map(place).collect()
}

fn place(row: &PgRow) -> Result<MessagePlace, sqlx::Error> {
    Ok(MessagePlace {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        digest: row.try_get("digest")?,
    })
}
