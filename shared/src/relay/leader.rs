//! Who may publish: an advisory lock on a connection of its own, and an epoch.
//!
//! **Architecture invariant:** the connection that holds the lock is the one that reads and settles
//! the outbox. Who lost the lock has lost the means to settle; the epoch catches what is left.
//!
//! **Architecture invariant:** a relay that does not lead asks again on the connection that it has. One opened
//! for each look would, where the database allows no more, make the pool close one of its own each time.

use std::time::Instant;

use sqlx::PgConnection;

use super::{
    RelaySettings,
    held_topics::{self, HeldTopic},
    recorded_ends::RecordedEnds,
};
use crate::outbox::OutboxFloor;

/// The right to publish, and what is known for as long as it lasts.
#[derive(Debug)]
pub struct LeaderLease {
    pub(super) conn: PgConnection,
    pub(super) epoch: i64,
    /// What is recorded of the log.
    pub(super) known: RecordedEnds,
    /// Topics that are held, as the table has them.
    pub(super) held: Vec<HeldTopic>,
    /// Topics whose messages were not confirmed, and nobody knows yet whether it is for their sake:
    /// they are held once others are confirmed without them.
    pub(super) suspects: Vec<HeldTopic>,
    /// Whether the last refusal may be our own fault, and nothing has been confirmed since: records are
    /// sent one at a time, because of several the broker does not say what is wrong with them.
    pub(super) is_doubtful: bool,
    /// Whether the last step was a held topic's.
    pub(super) was_alone: bool,
    /// Up to where the outbox is empty for good.
    pub(super) floor: OutboxFloor,
}

impl LeaderLease {
    /// Becomes the leader by this connection; unless there is one: then the connection comes back.
    pub async fn elect(
        settings: &RelaySettings,
        mut conn: PgConnection,
    ) -> Result<Result<Self, PgConnection>, sqlx::Error> {
        let elected: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended('messaging.relay', 0))",
        )
        .fetch_one(&mut conn)
        .await?;
        if !elected {
            return Ok(Err(conn));
        }
        let epoch = sqlx::query_scalar(
            "INSERT INTO messaging.relay_lease (epoch, holder) VALUES (1, $1)
             ON CONFLICT (only_row) DO UPDATE
             SET epoch = relay_lease.epoch + 1, holder = excluded.holder, acquired_at = now()
             RETURNING epoch",
        )
        .bind(format!("{}/{}", settings.service, std::process::id()))
        .fetch_one(&mut conn)
        .await?;
        let held = held_topics::read(&mut conn).await?;
        let known = RecordedEnds::read(&mut conn).await?;
        tracing::info!(epoch, "this relay leads");
        Ok(Ok(Self {
            conn,
            epoch,
            known,
            held,
            suspects: vec![],
            is_doubtful: false,
            was_alone: false,
            floor: OutboxFloor::default(),
        }))
    }

    /// Whether anybody holds the lock.
    pub(super) async fn is_there(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "WITH lock AS (SELECT hashtextextended('messaging.relay', 0) AS key)
             SELECT EXISTS (
                 SELECT FROM pg_locks, lock
                 WHERE locktype = 'advisory' AND granted AND objsubid = 1
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND classid::int8 = (key >> 32) & 4294967295
                   AND objid::int8 = key & 4294967295)",
        )
        .fetch_one(conn)
        .await
    }

    /// The held topic that is to be tried now, if there is one.
    pub(super) fn due(&self) -> Option<HeldTopic> {
        let now = Instant::now();
        self.held
            .iter()
            .filter(|topic| topic.retry_at <= now)
            .min_by_key(|topic| topic.retry_at)
            .cloned()
    }
}
