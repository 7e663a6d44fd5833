//! Where a look at the outbox begins: the highest id below which nothing is and nothing appears.
//!
//! Rows that were published are deleted, but as long as an old snapshot is open they cannot be
//! vacuumed, and whoever looks from the very beginning walks over all of them: milliseconds become
//! seconds. The floor is an id up to which the outbox is empty for good.
//!
//! ```text
//! read up to id n ──> who writes to the outbox now? ──> until they have ended ──> floor = n, or just below what is still there
//! ```
//!
//! **Architecture invariant:** no row has an id at or below the floor, nor will one appear. Rows of
//! other keys commit late with lower ids, so what was published says nothing of what is below it; but
//! ids up to one that was read were taken by transactions that have ended, or that hold the table's
//! lock by then ([`Writers`]). Once these have ended, a look sees all that there will ever be.
//!
//! The floor lies in a row of the database, so that all instances and the watcher of the backlog have
//! it, and a process that was just started, too. It is seen in the same snapshot as the outbox: also a
//! dump has both as they were at one moment. A floor above the last id that was given out (the ids began
//! anew, as after a logical copy to another server) counts as none.
//!
//! It is raised by the leading relay once per [`STRIDE`] ids: so a look walks over a few thousand
//! dead rows at most, beside those of the time for which somebody writes.

use sqlx::PgConnection;

use super::OutboxRow;
use crate::open_transactions::OpenTransactions;

/// The floor is raised when so many ids lie between it and what is read.
const STRIDE: i64 = 1_000;

/// The id above which a look begins.
macro_rules! floor {
    () => {
        "coalesce((SELECT floor FROM messaging.outbox_floor, messaging.outbox_outbox_id_seq
                   WHERE floor <= last_value), 0)"
    };
}
pub(super) use floor;

/// Raises the floor, step by step.
#[derive(Debug, Default)]
pub struct OutboxFloor {
    /// The highest id that was read.
    read: i64,
    /// The floor, as far as it is known here.
    raised: i64,
    rising: Option<(i64, OpenTransactions)>,
}

impl OutboxFloor {
    /// Takes note of what was read from the head.
    pub fn note(&mut self, batch: &[OutboxRow]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        if first.outbox_id <= self.raised {
            // The ids began anew.
            *self = Self::default();
        }
        self.read = self.read.max(last.outbox_id);
    }

    /// Raises the floor as far as is certain. To be called after each look at the head, outside any
    /// transaction; most times there is nothing to do.
    pub async fn raise(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
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
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
        self.rising = None;
        // What is still there may keep it where it is.
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
