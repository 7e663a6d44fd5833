//! Leadership: an advisory lock on a connection of its own, and an epoch.
//!
//! **Architecture invariant:** the connection that holds the lock is the one that reads and settles
//! the outbox. A relay that lost the lock cannot settle any more; the epoch covers the rest.
//!
//! **Architecture invariant:** a relay that does not lead asks again on its open connection. A new
//! one for each try would, at the database's limit, make the pool close one of its own each time.

use std::time::Instant;

use sqlx::PgConnection;

use super::{
    RelaySettings,
    held_topics::{self, HeldTopic},
    recorded_ends::RecordedEnds,
};
use crate::outbox::OutboxFloor;

/// The right to publish, and the state that lasts as long as that right.
#[derive(Debug)]
pub(crate) struct LeaderLease {
    pub(super) conn: PgConnection,
    pub(super) epoch: i64,
    /// The recorded ends of the log.
    pub(super) known: RecordedEnds,
    /// The held topics, as stored in the table.
    pub(super) held: Vec<HeldTopic>,
    /// Topics with unconfirmed messages, of which it is not known whether they are at fault: they
    /// are held once others are confirmed without them.
    pub(super) suspects: Vec<HeldTopic>,
    /// Whether the last refusal may be our own fault, and nothing was confirmed since: records are
    /// sent one at a time, because for several records the broker does not name the error.
    pub(super) is_doubtful: bool,
    /// Whether the last step was that of a held topic.
    pub(super) was_alone: bool,
    /// Whether the last step read the head of the outbox as far as a batch can hold, of all topics.
    pub(super) has_read_all: bool,
    /// The id up to which the outbox is empty for good.
    pub(super) floor: OutboxFloor,
}

impl LeaderLease {
    /// Tries to become the leader by this connection; if there is one, returns the connection.
    pub(crate) async fn elect(
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
            has_read_all: false,
            floor: OutboxFloor::default(),
        }))
    }

    /// Whether any session holds the lock.
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

    /// The held topic whose retry is due, if there is one.
    pub(super) fn due(&self) -> Option<HeldTopic> {
        let now = Instant::now();
        self.held
            .iter()
            .filter(|topic| topic.retry_at <= now)
            .min_by_key(|topic| topic.retry_at)
            .cloned()
    }
}
