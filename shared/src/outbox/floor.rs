//! The start of a scan of the outbox: the highest id below which no row is and none appears.
//!
//! Published rows are deleted, but as long as an old snapshot is open they cannot be vacuumed, and
//! a scan from the lowest id reads all of them: milliseconds become seconds. The floor is an id up
//! to which the outbox is empty for good.
//!
//! ```text
//! read up to id n ──> who writes to the outbox now? ──> until they have ended ──> floor = n, or just below what is still there
//! ```
//!
//! **Architecture invariant:** no row has an id at or below the floor, nor will one appear. Rows of
//! other keys commit late with lower ids, so published rows prove nothing about lower ids; but ids
//! up to one that was read were taken by transactions that have ended, or that hold the table's
//! lock ([`OpenTransactions`]). Once these have ended, a scan sees all rows that there will be.
//!
//! The floor is stored in a row of the database, so that all instances, the backlog watcher and new
//! processes share it. It is read in the same snapshot as the outbox: a dump, too, has both as they
//! were at one moment. A floor above the last assigned id (ids were reset, as after a logical copy
//! to another server) counts as none.
//!
//! The leading relay raises the floor once per [`STRIDE`] ids: so a scan reads a few thousand dead
//! rows at most, plus those of the time for which a transaction writes.

use sqlx::PgConnection;

use super::OutboxRow;
use crate::open_transactions::OpenTransactions;

/// The floor is raised when this many ids lie between it and the read position.
const STRIDE: i64 = 1_000;

/// The id above which a scan begins.
macro_rules! floor {
    () => {
        "coalesce((SELECT floor FROM messaging.outbox_floor, messaging.outbox_outbox_id_seq
                   WHERE floor <= last_value), 0)"
    };
}
pub(super) use floor;

/// Raises the floor step by step.
#[derive(Debug, Default)]
pub(crate) struct OutboxFloor {
    /// The highest id that was read.
    read: i64,
    /// The floor, as last read or written by this process.
    raised: i64,
    rising: Option<(i64, OpenTransactions)>,
}

impl OutboxFloor {
    /// Records the highest id that was read from the head.
    pub(crate) fn note(&mut self, batch: &[OutboxRow]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        if first.outbox_id <= self.raised {
            // The ids were reset.
            *self = Self::default();
        }
        self.read = self.read.max(last.outbox_id);
    }

    /// Raises the floor as far as is certain. To be called after each scan of the head, outside any
    /// transaction; most calls have nothing to do.
    pub(crate) async fn raise(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some((up_to, writers)) = &self.rising else {
            if self.read - self.raised >= STRIDE {
                self.rising =
                    Some((self.read, OpenTransactions::of(conn, "messaging.outbox").await?));
            }
            return Ok(());
        };
        if !writers.have_ended(conn).await? {
            return Ok(());
        }
        let up_to: i64 = sqlx::query_scalar(concat!(
            "SELECT coalesce(
                 (SELECT min(outbox_id) - 1 FROM messaging.outbox
                  WHERE outbox_id <= $1 AND outbox_id > ",
            floor!(),
            "), $1)"
        ))
        .bind(up_to)
        .fetch_one(&mut *conn)
        .await?;
        self.rising = None;
        // Remaining rows may keep the floor where it is.
        if up_to != self.raised {
            sqlx::query("UPDATE messaging.outbox_floor SET floor = $1 WHERE floor <> $1")
                .bind(up_to)
                .execute(conn)
                .await?;
            self.raised = up_to;
        }
        Ok(())
    }
}
