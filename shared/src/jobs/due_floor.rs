//! The start of a scan for due jobs: a time before which no job is due and none will be.
//!
//! Finished jobs are deleted, but as long as an old snapshot is open they cannot be vacuumed, and a
//! scan for the first due job reads all of them. So each worker remembers up to which time there
//! are no jobs:
//!
//! ```text
//! what time is it? ──> who writes to the jobs now? ──> until they have ended ──> begin at that time, or at the first job before it
//! ```
//!
//! **Architecture invariant:** no living job of the kind is due before the floor. `due_at` is
//! never before the moment at which it is written ([`super::store`] takes it from the server's
//! clock while the table is locked), so a job that would be due earlier belongs to a transaction
//! that has ended or is waited for ([`OpenTransactions`]).
//!
//! That holds as long as the server's clock does not go back. A step back of up to [`SLACK`] is
//! allowed, by which the floor stays behind. A larger step is noticed by comparison with our own
//! clock at most [`REST`] later, and the floor is reset: the next scan reads everything again. The
//! floor is in memory only, because while the process is down the clock is not watched.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::open_transactions::OpenTransactions;

/// The floor is this far behind the clock.
const SLACK: Duration = Duration::from_secs(10);
/// The server's clock may drift from ours by this much before it counts as set.
const DRIFT_MAX: Duration = Duration::from_secs(5);
/// The pause between two moves of the floor.
const REST: Duration = Duration::from_secs(5);

/// A full scan runs this often: for jobs that appeared below the floor all the same, as from an
/// instance of a version that took the time from the start of its transaction.
const WHOLE_AGAIN: Duration = Duration::from_mins(5);

/// A moment by the server's clock and by ours.
#[derive(Clone, Copy, Debug)]
struct ClockPair {
    theirs: OffsetDateTime,
    ours: Instant,
}

/// The time from which jobs of one kind are scanned.
#[derive(Debug)]
pub(super) struct DueFloor {
    kind: &'static str,
    from: OffsetDateTime,
    moving: Option<(ClockPair, OpenTransactions)>,
    moved: Option<ClockPair>,
    whole_at: Instant,
}

impl DueFloor {
    /// No lower bound: all jobs are scanned.
    pub(super) fn of(kind: &'static str) -> Self {
        let (from, whole_at) = (OffsetDateTime::UNIX_EPOCH, Instant::now());
        Self { kind, from, moving: None, moved: None, whole_at }
    }

    /// The floor of the next scan. To be called before each scan, outside any transaction.
    pub(super) async fn get(
        &mut self,
        conn: &mut PgConnection,
    ) -> Result<OffsetDateTime, sqlx::Error> {
        if self.moved.is_some_and(|clock_pair| clock_pair.ours.elapsed() < REST) {
            return Ok(self.from);
        }
        let Some((moment, writers)) = &self.moving else {
            let theirs: OffsetDateTime =
                sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *conn).await?;
            let now = ClockPair { theirs, ours: Instant::now() };
            if self.moved.is_some_and(|before| was_set(before, now)) {
                tracing::warn!(kind = self.kind, "the database's clock was set");
                self.from = OffsetDateTime::UNIX_EPOCH;
            }
            self.moving = Some((now, OpenTransactions::of(conn, "messaging.job").await?));
            return Ok(self.from);
        };
        if writers.have_ended(conn).await? {
            let up_to = moment.theirs - SLACK;
            if self.whole_at.elapsed() >= WHOLE_AGAIN {
                self.from = OffsetDateTime::UNIX_EPOCH;
                self.whole_at = Instant::now();
            }
            let first: Option<OffsetDateTime> = sqlx::query_scalar(
                "SELECT due_at FROM messaging.job
                 WHERE kind = $1 AND state <> 'dead' AND due_at >= $2 AND due_at < $3
                 ORDER BY due_at LIMIT 1",
            )
            .bind(self.kind)
            .bind(self.from)
            .bind(up_to)
            .fetch_optional(conn)
            .await?;
            self.from = first.unwrap_or(up_to);
            self.moved = Some(*moment);
            self.moving = None;
        }
        Ok(self.from)
    }
}

/// Whether the server's clock was set, compared with ours.
fn was_set(before: ClockPair, now: ClockPair) -> bool {
    let theirs = now.theirs - before.theirs;
    let ours = now.ours - before.ours;
    (theirs - ours).unsigned_abs() > DRIFT_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_goes() {
        let before = ClockPair { theirs: OffsetDateTime::UNIX_EPOCH, ours: Instant::now() };
        let later = |theirs: i64, ours: u64| ClockPair {
            theirs: before.theirs + time::Duration::seconds(theirs),
            ours: before.ours + Duration::from_secs(ours),
        };
        assert!(!was_set(before, later(60, 60)));
        assert!(!was_set(before, later(57, 60)));
        assert!(was_set(before, later(50, 60)), "a look in between may have missed something");
        assert!(was_set(before, later(-3600, 60)));
        assert!(was_set(before, later(3600, 60)));
    }
}
