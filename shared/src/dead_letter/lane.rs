//! Lanes: what waits behind an open letter, and what does not.

use std::{collections::HashMap, fmt};

use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    fault::{Collision, Fault},
    message::{Incoming, Message},
};

/// Letters that are closed while somebody waits for them are looked for again so often at once.
const LOOKS_MAX: u32 = 5;

/// A topic and a key, as 32 bytes: messages of one lane are in order, and wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub(super) [u8; 32]);

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<String> = self.0.iter().take(4).map(|it| format!("{it:02x}")).collect();
        write!(f, "Lane({})", head.concat())
    }
}

impl Lane {
    /// The lane of a message whose outside is in order.
    pub fn of(message: &Message) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(message.incoming.topic.as_bytes());
        hasher.update([0]);
        hasher.update(message.envelope.subject.as_bytes());
        Self(hasher.finalize().into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A message in the log: its offset, and a digest of its content. The offset alone does not know it:
/// a topic that is deleted and created again begins at 0 with other messages, and the client that we
/// have does not tell a topic's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Without the deployment's prefix.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// What tells it from another message of the same offset.
    digest: [u8; 32],
}

impl Place {
    /// Where a message was read.
    pub fn of(incoming: &Incoming) -> Self {
        let Incoming { topic, partition, offset, .. } = incoming;
        let (partition, offset) = (*partition, *offset);
        Self { topic: topic.clone(), partition, offset, digest: incoming.digest() }
    }

    /// Whether it is this message.
    pub(crate) fn is(&self, incoming: &Incoming) -> bool {
        self.offset == incoming.offset && self.digest == incoming.digest()
    }
}

/// The open letter of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocking {
    /// Where it was read.
    pub(crate) place: Place,
    /// When the broker took it, if it was kept before the batch in hand. A message with a lower
    /// offset that came later is then read from a topic that began anew.
    pub(crate) timestamp_ms: Option<i64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// The lanes among these that have an open letter, with that. Holds those letters' rows shared:
/// until the caller's transaction ends, none of them is settled. Without any, it is one statement.
pub(crate) async fn blocked(
    conn: &mut PgConnection,
    lanes: &[Lane],
) -> Result<HashMap<Lane, Blocking>, Fault> {
    if lanes.is_empty() {
        return Ok(HashMap::new());
    }
    let lanes: Vec<&[u8]> = lanes.iter().map(Lane::bytes).collect();
    for _ in 0..LOOKS_MAX {
        let rows = sqlx::query(
            "SELECT dead_letter_id, lane, topic, partition, \"offset\", digest, timestamp_ms
             FROM messaging.dead_letter
             WHERE lane = ANY ($1) AND closed_at IS NULL",
        )
        .bind(&lanes)
        .fetch_all(&mut *conn)
        .await?;
        let ids = rows.iter().map(|row| row.try_get("dead_letter_id"));
        let ids: Vec<Uuid> = ids.collect::<Result<_, _>>()?;
        if ids.is_empty() || hold_shared(conn, &ids).await? == ids.len() {
            let blocked = rows.iter().map(blocking).collect::<Result<HashMap<_, _>, _>>();
            return Ok(blocked?);
        }
        // One of them was closed while it was waited for. Its lane may be open now, or closed by
        // another letter, which only a new look can see.
    }
    Err(Fault::transient(Collision))
}

fn blocking(row: &PgRow) -> Result<(Lane, Blocking), sqlx::Error> {
    let lane = Lane(bytes32(row, "lane")?);
    let blocking = Blocking { place: place(row)?, timestamp_ms: row.try_get("timestamp_ms")? };
    Ok((lane, blocking))
}

fn place(row: &PgRow) -> Result<Place, sqlx::Error> {
    Ok(Place {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        digest: bytes32(row, "digest")?,
    })
}

fn bytes32(row: &PgRow, column: &str) -> Result<[u8; 32], sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_other| sqlx::Error::Decode("it has not 32 bytes".into()))
}

/// Holds those that are still open; says how many are.
async fn hold_shared(conn: &mut PgConnection, ids: &[Uuid]) -> Result<usize, sqlx::Error> {
    // In the order of the lanes, as all do who hold several.
    let held = sqlx::query(
        "SELECT FROM messaging.dead_letter
         WHERE dead_letter_id = ANY ($1) AND closed_at IS NULL
         ORDER BY lane
         FOR SHARE",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(held.len())
}

/// Which of these messages have a letter already, open or closed.
pub(crate) async fn known(
    conn: &mut PgConnection,
    places: &[Place],
) -> Result<Vec<Place>, sqlx::Error> {
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
    .bind(places.iter().map(|it| it.topic.as_str()).collect::<Vec<_>>())
    .bind(places.iter().map(|it| it.partition).collect::<Vec<_>>())
    .bind(places.iter().map(|it| it.offset).collect::<Vec<_>>())
    .bind(places.iter().map(|it| it.digest.as_slice()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    rows.iter().map(place).collect()
}

/// Parks messages behind the letters of their lanes, which the caller holds; says how many were new.
pub(crate) async fn park(
    conn: &mut PgConnection,
    waiting: &[(Lane, &Incoming)],
) -> Result<u64, sqlx::Error> {
    if waiting.is_empty() {
        return Ok(0);
    }
    let parked = sqlx::query(
        "INSERT INTO messaging.parked
             (lane, topic, partition, \"offset\", timestamp_ms, key, headers, payload)
         SELECT lane, topic, partition, \"offset\", timestamp_ms, key, headers, payload
         FROM unnest($1::bytea[], $2::text[], $3::int4[], $4::int8[], $5::int8[], $6::bytea[],
                     $7::bytea[], $8::bytea[]) WITH ORDINALITY
             AS new (lane, topic, partition, \"offset\", timestamp_ms, key, headers, payload, n)
         ORDER BY n
         ON CONFLICT (topic, partition, \"offset\", digest) DO NOTHING",
    )
    .bind(waiting.iter().map(|(lane, _)| lane.bytes()).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.topic.as_str()).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.partition).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.offset).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.timestamp_ms).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.key.as_deref()).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.headers.to_bytes()).collect::<Vec<_>>())
    .bind(waiting.iter().map(|(_, it)| it.payload.as_deref()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(parked.rows_affected())
}
