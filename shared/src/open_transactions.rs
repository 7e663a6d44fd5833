//! Finds the open transactions that may still insert rows into a table.
//!
//! A number or time that a statement takes while it inserts is older than its commit: a lower one
//! can appear after a higher one was seen. A reader that must know that nothing below a number
//! appears any more waits for the transactions that held a lock on the table at that moment:
//!
//! ```text
//! see a number ──> who writes to the table now? ──> until all of them have ended ──> look again: complete up to the number
//! ```
//!
//! **Why this is enough:** a statement locks the table (`RowExclusiveLock`) before it takes
//! numbers, and its transaction keeps the lock until its rows are visible or never will be. So a
//! number taken before the query belongs to a transaction that the query returns, or has ended. A
//! commit that waits for a standby still holds its locks, and so does a prepared transaction.
//!
//! **Architecture invariant:** the question is about locks on one table of this database. The
//! oldest snapshot of the server (`pg_snapshot_xmin`) would be simpler, but one transaction left
//! open in another database holds that back, and so does every report in this one.

use sqlx::PgConnection;

/// Transactions that had written to a table, or were about to, when they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransactions {
    table: &'static str,
    /// Their virtual ids: the only ones that every transaction has, also before it wrote something.
    transactions: Vec<String>,
}

/// The locks of writing transactions on the table `$1`.
macro_rules! locks {
    () => {
        "FROM pg_locks
         WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
           AND relation = $1::text::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    };
}

impl OpenTransactions {
    /// The transactions that write to this table now. To be called after a statement saw a number.
    pub async fn of(conn: &mut PgConnection, table: &'static str) -> Result<Self, sqlx::Error> {
        let transactions =
            sqlx::query_scalar(concat!("SELECT DISTINCT virtualtransaction ", locks!()))
                .bind(table)
                .fetch_all(conn)
                .await?;
        Ok(Self { table, transactions })
    }

    /// Whether all these transactions have ended. The next statement sees what they wrote.
    pub async fn have_ended(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.transactions.is_empty() {
            return Ok(true);
        }
        sqlx::query_scalar(concat!(
            "SELECT NOT EXISTS (SELECT ",
            locks!(),
            " AND virtualtransaction = ANY ($2))"
        ))
        .bind(self.table)
        .bind(&self.transactions)
        .fetch_one(conn)
        .await
    }
}
