//! Numbers that are missing in the history: messages that never came.
//!
//! **Architecture invariant:** each entry is looked at once, in the transaction that moves the mark
//! behind it, so a gap is counted once, whatever restarts. One instance checks at a time.

use shared::writers::Writers;
use sqlx::PgConnection;
use uuid::Uuid;

/// Up to where the history had been written at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the last entry.
    pub entry_no: i64,
    /// Those who may still write below it.
    pub writers: Writers,
}

/// Messages that never came, just below one that did.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Gap {
    /// The order that they were about.
    pub order_id: Uuid,
    /// Who must have said them.
    pub source: String,
    /// The number of the one that did come.
    pub sequence: i64,
    /// How many are missing below it.
    pub missing: i64,
}

/// Up to where the history is written now.
pub async fn mark(conn: &mut PgConnection) -> Result<Mark, sqlx::Error> {
    let entry_no = sqlx::query_scalar("SELECT coalesce(max(entry_no), 0) FROM order_history")
        .fetch_one(&mut *conn)
        .await?;
    // Asked afterwards: a transaction with a number below the mark held the table by then.
    let writers = Writers::of(conn, "order_history").await?;
    Ok(Mark { entry_no, writers })
}

/// Whether everybody who may have had a lower number by then has ended: nothing appears below the mark
/// any more.
pub async fn is_settled(conn: &mut PgConnection, mark: &Mark) -> Result<bool, sqlx::Error> {
    mark.writers.have_ended(conn).await
}

/// Takes the next entries to be looked at, up to `n_max` and not beyond the mark: their range, or
/// nothing if there are none, or if somebody else is at it.
pub async fn take(
    conn: &mut PgConnection,
    mark: &Mark,
    n_max: i64,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "WITH old AS (
             SELECT checked_up_to FROM loss_check WHERE checked_up_to < $1
             FOR UPDATE SKIP LOCKED
         )
         UPDATE loss_check SET checked_up_to = least($1, old.checked_up_to + $2)
         FROM old
         RETURNING old.checked_up_to, loss_check.checked_up_to",
    )
    .bind(mark.entry_no)
    .bind(n_max)
    .fetch_optional(conn)
    .await
}

/// The gaps that these entries show.
///
/// An order of which a message lies among the dead letters has gaps that are explained: it was
/// read. So has one whose history began before numbers were kept.
pub async fn find(
    conn: &mut PgConnection,
    (after, up_to): (i64, i64),
) -> Result<Vec<Gap>, sqlx::Error> {
    sqlx::query_as(
        "WITH told AS (
             SELECT DISTINCT order_id FROM order_history WHERE entry_no > $1 AND entry_no <= $2
         ), numbered AS (
             SELECT order_id, source, sequence, entry_no,
                    sequence - 1 - lag(sequence, 1, 0::int8)
                        OVER (PARTITION BY order_id, source ORDER BY sequence) AS missing,
                    bool_or(sequence IS NULL) OVER (PARTITION BY order_id) AS unnumbered
             FROM order_history JOIN told USING (order_id)
         )
         SELECT order_id, source, sequence, missing FROM numbered
         WHERE missing > 0 AND NOT unnumbered AND entry_no > $1 AND entry_no <= $2
           AND NOT EXISTS (
               SELECT FROM messaging.dead_letter
               WHERE key = convert_to(numbered.order_id::text, 'UTF8')
           )
         ORDER BY entry_no",
    )
    .bind(after)
    .bind(up_to)
    .fetch_all(conn)
    .await
}
