//! Published messages, kept so that they can be published again if the log loses them.
//!
//! A row that leaves the outbox is kept for a while ([`PublishedRetention`]). If its topic then
//! loses messages that the broker had confirmed (the topic was deleted and created again, or the
//! broker's data are gone), all its kept messages are published again: the same bytes, under the
//! same ids. A reader that had read a message ignores the repeat; a reader that had not reads it.
//!
//! ```text
//! outbox ──settle──> published ──(kept for a while)──> gone
//!                       │
//!     log_loss: topic, cursor ──> read from the cursor, publish, advance the cursor ──> ended
//! ```
//!
//! Detection of a loss: the highest confirmed offset of each partition is recorded. A partition
//! that ends at or below it, or confirms a new message at or below it, has lost messages.
//!
//! **Architecture invariant:** a row is either in the outbox or among the kept messages, and moves
//! in the transaction that settles it. Only the relay that leads writes these tables: each
//! transaction checks the epoch.
//!
//! **Architecture invariant:** kept messages are younger than the oldest ids of an inbox
//! ([`inbox::RETENTION`](crate::inbox::RETENTION)), so they can be published again at any time.
//! Topics of latest values are the exception, as everywhere: their readers compare numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::PgConnection;

use crate::{
    outbox::{self, OutboxRow, if_leading},
    topics,
};

/// A topic without the deployment's prefix, and a partition of it.
pub type TopicPartition = (String, i32);

/// The retention of published messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedRetention {
    /// How long messages are kept after the broker's confirmation. Zero keeps only latest values.
    pub span: Duration,
    /// Topics of which the last message of each key is kept for ever.
    pub latest: Vec<&'static str>,
}

impl Default for PublishedRetention {
    fn default() -> Self {
        Self { span: Duration::from_hours(24), latest: vec![] }
    }
}

/// Nothing is kept longer than this by the clock, however quiet its service is: the topics
/// themselves would not have kept it longer.
pub(crate) const KEPT_MAX: Duration = topics::EVENT_RETENTION;

/// The offsets that a log confirmed in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConfirmedOffsets {
    /// The lowest of them.
    pub first: i64,
    /// The highest of them.
    pub last: i64,
}

/// The offsets that a log confirmed, by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetsByPartition(pub(crate) BTreeMap<TopicPartition, ConfirmedOffsets>);

impl OffsetsByPartition {
    /// Adds a confirmed message.
    pub fn add(&mut self, partition: TopicPartition, offset: i64) {
        let known =
            self.0.entry(partition).or_insert(ConfirmedOffsets { first: offset, last: offset });
        known.first = known.first.min(offset);
        known.last = known.last.max(offset);
    }

    /// The topics, partitions and highest confirmed offsets, as `reached!` takes them.
    fn columns(&self) -> (Vec<&str>, Vec<i32>, Vec<i64>) {
        self.0
            .iter()
            .map(|((topic, partition), offsets)| (topic.as_str(), *partition, offsets.last))
            .collect()
    }
}

/// The part of a statement that records the highest confirmed offsets: topics, partitions and
/// offsets are `$2`, `$3` and `$4`.
macro_rules! reached {
    () => {
        "reached AS (
             INSERT INTO messaging.published_up_to (topic, partition, \"offset\")
             SELECT topic, partition, \"offset\"
             FROM unnest($2::text[], $3::int4[], $4::int8[])
                 AS confirmed (topic, partition, \"offset\"), lease
             ON CONFLICT (topic, partition) DO UPDATE SET \"offset\" = excluded.\"offset\"
         )"
    };
}

/// A partition that lost what had been confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionLoss {
    /// The partition whose end is recorded.
    pub partition: TopicPartition,
    /// The highest offset that had been confirmed.
    pub up_to: i64,
    /// Where it ended when that was found.
    pub ends_at: i64,
}

/// Messages to publish again, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RepublishedMessages {
    /// The messages to publish.
    pub messages: Vec<OutboxRow>,
    /// After these messages everything up to this id is published again; none if nothing is left.
    pub next: Option<i64>,
}

/// The highest confirmed offset of each partition.
pub(crate) async fn up_to(
    conn: &mut PgConnection,
) -> Result<BTreeMap<TopicPartition, i64>, sqlx::Error> {
    let rows: Vec<(String, i32, i64)> =
        sqlx::query_as("SELECT topic, partition, \"offset\" FROM messaging.published_up_to")
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)).collect())
}

/// The topics that have lost messages which are not all published again yet.
pub(crate) async fn to_say_again(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT topic FROM messaging.log_loss WHERE ended_at IS NULL")
        .fetch_all(conn)
        .await
}

/// Moves exactly these rows from the outbox to the kept messages, and records the confirmed
/// offsets, if `epoch` is still the relay's; returns whether it is.
///
/// The epoch is checked in the transaction that deletes: a relay that was replaced while it was
/// suspended cannot settle anything.
pub async fn settle(
    conn: &mut PgConnection,
    epoch: i64,
    outbox_ids: &[i64],
    (offsets, keep): (&OffsetsByPartition, &PublishedRetention),
) -> Result<bool, sqlx::Error> {
    let (topics, partitions, ends) = offsets.columns();
    sqlx::query_scalar(if_leading!(
        "settled AS (
             DELETE FROM messaging.outbox USING lease WHERE outbox_id = ANY ($5)
             RETURNING outbox_id, message_id, topic, key, headers, payload
         ), kept AS (
             INSERT INTO messaging.published
                 (outbox_id, message_id, topic, key, headers, payload)
             SELECT * FROM settled WHERE $6 AND topic <> ALL ($7)
             -- Ids begin anew on a server that the data were copied to.
             ON CONFLICT (outbox_id) DO UPDATE
             SET message_id = excluded.message_id, topic = excluded.topic, key = excluded.key,
                 headers = excluded.headers, payload = excluded.payload, published_at = now()
         ), latest AS (
             INSERT INTO messaging.published_latest
                 (outbox_id, message_id, topic, key, headers, payload)
             SELECT DISTINCT ON (topic, key) * FROM settled
             WHERE topic = ANY ($7) AND key IS NOT NULL
             ORDER BY topic, key, outbox_id DESC
             ON CONFLICT (topic, key) DO UPDATE
             SET outbox_id = excluded.outbox_id, message_id = excluded.message_id,
                 headers = excluded.headers, payload = excluded.payload
         ), ",
        reached!(),
    ))
    .bind(epoch)
    .bind(topics)
    .bind(partitions)
    .bind(ends)
    .bind(outbox_ids)
    .bind(!keep.span.is_zero())
    .bind(&keep.latest)
    .fetch_one(conn)
    .await
}

/// Records that these partitions lost messages, if `epoch` is still the relay's: all kept messages
/// of their topics are to be published again, from the beginning. Returns whether the epoch is.
pub(crate) async fn lost(
    conn: &mut PgConnection,
    epoch: i64,
    losses: &[PartitionLoss],
) -> Result<bool, sqlx::Error> {
    // One row and one cursor per topic; a topic that is lost again while it is published again
    // begins again.
    sqlx::query_scalar(if_leading!(
        "lost AS MATERIALIZED (
             SELECT DISTINCT ON (topic) topic, partition, up_to, ends_at
             FROM unnest($2::text[], $3::int4[], $4::int8[], $5::int8[])
                 AS lost (topic, partition, up_to, ends_at), lease
             ORDER BY topic, partition
         ), forgotten AS (
             DELETE FROM messaging.published_up_to USING lost
             WHERE published_up_to.topic = lost.topic
         ), recorded AS (
             INSERT INTO messaging.log_loss (topic, partition, up_to, ends_at, again_until)
             SELECT topic, partition, up_to, ends_at, greatest(
                 (SELECT max(outbox_id) FROM messaging.published),
                 (SELECT max(outbox_id) FROM messaging.published_latest), 0)
             FROM lost
             ON CONFLICT (topic) DO UPDATE
             SET partition = excluded.partition, up_to = excluded.up_to,
                 ends_at = excluded.ends_at, again_after = 0, again_until = excluded.again_until,
                 found_at = now(), ended_at = NULL
         )"
    ))
    .bind(epoch)
    .bind(
        losses.iter().map(|partition_loss| partition_loss.partition.0.as_str()).collect::<Vec<_>>(),
    )
    .bind(losses.iter().map(|partition_loss| partition_loss.partition.1).collect::<Vec<_>>())
    .bind(losses.iter().map(|partition_loss| partition_loss.up_to).collect::<Vec<_>>())
    .bind(losses.iter().map(|partition_loss| partition_loss.ends_at).collect::<Vec<_>>())
    .fetch_one(conn)
    .await
}

/// The next messages of a topic that lost messages. Reads `n_max` kept messages of any topic, so
/// that one call is bounded; possibly none of them belongs to this topic.
pub(crate) async fn again(
    conn: &mut PgConnection,
    topic: &str,
    n_max: i64,
) -> Result<RepublishedMessages, sqlx::Error> {
    let next: Option<i64> = sqlx::query_scalar(
        "SELECT max(outbox_id) FROM (
             SELECT outbox_id FROM (
                 SELECT again_after AS after, again_until AS until
                 FROM messaging.log_loss WHERE ended_at IS NULL AND topic = $2
             ) AS wanted, LATERAL (
                 (SELECT outbox_id FROM messaging.published
                  WHERE outbox_id > after AND outbox_id <= until ORDER BY outbox_id LIMIT $1)
                 UNION ALL
                 (SELECT outbox_id FROM messaging.published_latest
                  WHERE outbox_id > after AND outbox_id <= until ORDER BY outbox_id LIMIT $1)
             ) AS kept
             ORDER BY outbox_id LIMIT $1
         ) AS next",
    )
    .bind(n_max)
    .bind(topic)
    .fetch_one(&mut *conn)
    .await?;
    let Some(next) = next else { return Ok(RepublishedMessages::default()) };
    let rows = sqlx::query(
        "WITH lost AS (SELECT topic, again_after, again_until FROM messaging.log_loss
                       WHERE ended_at IS NULL AND topic = $2)
         SELECT outbox_id, message_id, topic, key, headers, payload, now() AS created_at
         FROM messaging.published JOIN lost USING (topic)
         WHERE outbox_id > (SELECT min(again_after) FROM lost) AND outbox_id <= $1
           AND outbox_id <= again_until
         UNION ALL
         SELECT outbox_id, message_id, topic, key, headers, payload, now()
         FROM messaging.published_latest JOIN lost USING (topic)
         WHERE outbox_id > (SELECT min(again_after) FROM lost) AND outbox_id <= $1
           AND outbox_id <= again_until
         ORDER BY outbox_id",
    )
    .bind(next)
    .bind(topic)
    .fetch_all(conn)
    .await?;
    let messages = rows.iter().map(outbox::kept).collect::<Result<_, _>>()?;
    Ok(RepublishedMessages { messages, next: Some(next) })
}

/// Records that all of this topic up to `next` is published again, and the offsets confirmed for
/// it, if `epoch` is still the relay's; returns whether it is. Without `next` the loss ends.
pub async fn said_again(
    conn: &mut PgConnection,
    epoch: i64,
    (topic, next): (&str, Option<i64>),
    offsets: &OffsetsByPartition,
) -> Result<bool, sqlx::Error> {
    let (topics, partitions, ends) = offsets.columns();
    sqlx::query_scalar(if_leading!(
        "advanced AS (
             UPDATE messaging.log_loss
             SET again_after = coalesce($5, again_after),
                 ended_at = CASE WHEN $5 IS NULL THEN now() END
             FROM lease WHERE ended_at IS NULL AND topic = $6
         ), ",
        reached!(),
    ))
    .bind(epoch)
    .bind(topics)
    .bind(partitions)
    .bind(ends)
    .bind(next)
    .bind(topic)
    .fetch_one(conn)
    .await
}

/// Deletes up to `n_max` messages that were kept long enough; says how many.
///
/// Counted from the last message that was published: while the broker is away (it may return
/// without its data), the last messages published before are not deleted; nor is any message while
/// messages are published again. [`KEPT_MAX`] ends both.
///
/// By the time of publication and not by id: a topic that was held for days publishes low ids late,
/// and on a server that the data were copied to, ids begin again.
pub async fn purge(
    conn: &mut PgConnection,
    span: Duration,
    n_max: i64,
) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query(
        "DELETE FROM messaging.published
         WHERE outbox_id = ANY (ARRAY (
             SELECT outbox_id FROM messaging.published
             -- Without the second, greatest answers the first.
             WHERE published_at < (SELECT greatest(
                 now() - make_interval(secs => $2),
                 (SELECT max(published_at) - make_interval(secs => $1) FROM messaging.published
                  HAVING NOT EXISTS (SELECT FROM messaging.log_loss WHERE ended_at IS NULL))))
             ORDER BY published_at LIMIT $3 FOR UPDATE SKIP LOCKED
         ))",
    )
    .bind(span.as_secs_f64())
    .bind(KEPT_MAX.as_secs_f64())
    .bind(n_max)
    .execute(conn)
    .await?;
    Ok(purged.rows_affected())
}

/// The partitions among `offsets` that confirmed at or below their highest confirmed offset.
pub(crate) fn begun_anew(
    up_to: &BTreeMap<TopicPartition, i64>,
    offsets: &OffsetsByPartition,
) -> Vec<PartitionLoss> {
    let lost = |(partition, confirmed): (&TopicPartition, &ConfirmedOffsets)| {
        let up_to = *up_to.get(partition)?;
        let loss = PartitionLoss { partition: partition.clone(), up_to, ends_at: confirmed.first };
        (confirmed.first <= up_to).then_some(loss)
    };
    offsets.0.iter().filter_map(lost).collect()
}

/// The partitions among `ends` that end at or below their highest confirmed offset. A partition
/// without an answer of the broker is not included: an unknown end is not a loss.
pub(crate) fn cut_short(
    up_to: &BTreeMap<TopicPartition, i64>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Vec<PartitionLoss> {
    let lost = |(partition, ends_at): (&TopicPartition, &i64)| {
        let up_to = *up_to.get(partition)?;
        let loss = PartitionLoss { partition: partition.clone(), up_to, ends_at: *ends_at };
        (*ends_at <= up_to).then_some(loss)
    };
    ends.iter().filter_map(lost).collect()
}

/// The topics of these losses, each once.
pub(crate) fn topics(losses: &[PartitionLoss]) -> BTreeSet<&str> {
    losses.iter().map(|partition_loss| partition_loss.partition.0.as_str()).collect()
}
