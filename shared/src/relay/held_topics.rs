//! Held topics: their messages wait in the outbox, and messages of other topics go on.
//!
//! The list is in `messaging.held_topic`, so that a new leader knows it, and so that every instance
//! can leave held topics out of the backlog's age ([`backlog`](crate::outbox::backlog)):
//! their messages do not wait because the relay is slow. The table is usually empty, so reading it
//! is cheap.
//!
//! **Architecture invariant:** only the leader writes this table: each statement checks its epoch.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::{backoff::BackoffSchedule, outbox::if_leading};

/// The pauses between two attempts at a held topic.
const PAUSES: BackoffSchedule =
    BackoffSchedule { first: Duration::from_secs(1), factor: 2.0, cap: Duration::from_mins(1) };

/// The code that stands for an error without an answer of the broker.
pub(super) const UNCONFIRMED: &str = "Unconfirmed";

/// A topic that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldTopic {
    pub(super) topic: String,
    /// Whether other topics were confirmed while this one was not: so neither the broker nor this
    /// process is at fault. Not stored: the next leader begins with `false`.
    pub(super) is_proven: bool,
    /// Attempts since it was held.
    pub(super) attempts: u32,
    pub(super) retry_at: Instant,
    /// The code of the last error.
    pub(super) code: String,
    /// The last error in words.
    pub(super) detail: String,
}

impl HeldTopic {
    /// A topic whose messages are sent alone from now on; the first attempt is due at once.
    pub(super) fn now(topic: &str, code: &str, detail: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            is_proven: false,
            attempts: 0,
            retry_at: Instant::now(),
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// The same topic after another attempt that failed; the pause until the next one grows.
    pub(super) fn again(&self, code: &str, detail: &str) -> Self {
        let pause = PAUSES.ceiling(self.attempts);
        Self {
            attempts: self.attempts.saturating_add(1),
            retry_at: Instant::now() + pause,
            code: code.to_owned(),
            detail: detail.to_owned(),
            ..self.clone()
        }
    }

    /// Whether an error with this code is the topic's, although other causes are possible (this
    /// process, the broker): the topic is proven to be at fault, or is held for this code already.
    pub(super) fn is_known_for(&self, code: &str) -> bool {
        self.is_proven || self.code == code
    }

    /// The time until its next attempt.
    pub(super) fn pause(&self) -> Duration {
        self.retry_at.saturating_duration_since(Instant::now())
    }
}

/// All topics that are held.
pub(super) async fn read(conn: &mut PgConnection) -> Result<Vec<HeldTopic>, sqlx::Error> {
    let rows: Vec<(String, i32, f64, String, String)> = sqlx::query_as(
        "SELECT topic, attempts, greatest(extract(epoch FROM retry_at - now()), 0)::float8,
                code, detail
         FROM messaging.held_topic ORDER BY topic",
    )
    .fetch_all(conn)
    .await?;
    let held = |(topic, attempts, seconds, code, detail)| {
        let attempts: i32 = attempts;
        let pause = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(PAUSES.cap);
        let retry_at = Instant::now() + pause;
        HeldTopic {
            topic,
            is_proven: false,
            attempts: attempts.unsigned_abs(),
            retry_at,
            code,
            detail,
        }
    };
    Ok(rows.into_iter().map(held).collect())
}

/// Holds a topic, or extends the hold; answers whether `epoch` is still current.
pub(super) async fn hold(
    conn: &mut PgConnection,
    epoch: i64,
    held: &HeldTopic,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(if_leading!(
        "held AS (
             INSERT INTO messaging.held_topic (topic, retry_at, attempts, code, detail)
             SELECT $2, now() + make_interval(secs => $3), $4, $5, $6 FROM lease
             ON CONFLICT (topic) DO UPDATE
             SET retry_at = excluded.retry_at, attempts = excluded.attempts,
                 code = excluded.code, detail = excluded.detail
         )"
    ))
    .bind(epoch)
    .bind(&held.topic)
    .bind(held.pause().as_secs_f64())
    .bind(i32::try_from(held.attempts).unwrap_or(i32::MAX))
    .bind(&held.code)
    .bind(&held.detail)
    .fetch_one(conn)
    .await
}

/// Releases a topic; answers whether `epoch` is still current.
pub(super) async fn release(
    conn: &mut PgConnection,
    epoch: i64,
    topic: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(if_leading!(
        "released AS (
             DELETE FROM messaging.held_topic USING lease WHERE topic = $2
         )"
    ))
    .bind(epoch)
    .bind(topic)
    .fetch_one(conn)
    .await
}
