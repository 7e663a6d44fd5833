//! Migrations beside instances that are at work.
//!
//! A statement that changes a table waits until the transactions that read it have ended, and every later
//! statement waits behind it, even one that only reads: one long report would stop a service for as long as
//! it lasts. So a migration waits for each lock for [`LOCK_LIMIT`] only. If that was in vain, what it did is
//! undone, its connection is closed, and the caller tries again after a pause in which the others pass.
//!
//! Only the turn among migrations is waited for without a limit: nobody stands behind that.

use sqlx::{
    Connection as _, Executor as _, PgPool,
    migrate::{Migrate as _, Migrator},
};

use super::ceiling;
use crate::fault;

/// The tables of the messaging runtime, in the schema `messaging` of each service's database.
static MESSAGING: Migrator = sqlx::migrate!("./migrations");

/// For how long a migration waits for each lock, as the server reads it.
const LOCK_LIMIT: &str = "1s";

/// Brings the tables of the runtime and then those of the service up to date. To be tried again if that
/// [may pass](may_pass).
///
/// Safe to run from several instances at once: they take turns.
pub async fn migrate(pool: &PgPool, service: &Migrator) -> Result<(), sqlx::Error> {
    let mut conn = Box::pin(ceiling::acquire(pool)).await?.detach();
    // A migration may rewrite a table and then takes as long as it takes.
    conn.execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    conn.lock().await?;
    let limit = format!("SET lock_timeout = '{LOCK_LIMIT}'");
    conn.execute(sqlx::AssertSqlSafe(limit)).await?;
    conn.execute("CREATE SCHEMA IF NOT EXISTS messaging; SET search_path = messaging").await?;
    MESSAGING.run(&mut conn).await?;
    conn.execute("SET search_path = public").await?;
    service.run(&mut conn).await?;
    conn.close().await
}

/// Whether a migration that failed may succeed later: it did not get a lock in time, was the victim of a
/// deadlock, or lost the server. What else it complains of does not go away by waiting.
pub fn may_pass(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::Migrate(_)) || fault::is_outage(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use sqlx::{Error, migrate::MigrateError};

    use super::*;

    #[test]
    fn a_migration_that_lost_its_server_may_pass_and_one_that_is_wrong_does_not() {
        let lost = || Error::Io(io::Error::from(io::ErrorKind::ConnectionReset));
        let migrate = |error| Error::Migrate(Box::new(error));
        assert!(may_pass(&lost()));
        assert!(may_pass(&migrate(MigrateError::Execute(lost()))));
        assert!(may_pass(&migrate(MigrateError::ExecuteMigration(lost(), 7))));
        assert!(!may_pass(&migrate(MigrateError::VersionMismatch(7))));
        assert!(!may_pass(&migrate(MigrateError::Dirty(7))));
    }
}
