//! Migrations while instances of the service are running.
//!
//! A statement that changes a table waits until the transactions that read it have ended, and all
//! later statements, even reads, wait behind it: one long report would stop a service. So a
//! migration waits for each lock for [`LOCK_LIMIT`] only. After that it is rolled back, its
//! connection is closed, and the caller tries again after a pause in which other statements run.
//!
//! Only the lock among migrations has no time limit: no other statement waits behind it.

use sqlx::{
    Connection as _, Executor as _, PgPool,
    migrate::{Migrate as _, Migrator},
};

use super::ceiling;
use crate::fault;

/// The tables of the messaging runtime, in the schema `messaging` of each service's database.
static MESSAGING: Migrator = sqlx::migrate!("./migrations");

/// How long a migration waits for each lock, in the server's syntax.
const LOCK_LIMIT: &str = "1s";

/// Runs the migrations of the runtime and then those of the service. To be tried again if the error
/// is [transient](may_pass).
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

/// Whether a failed migration may succeed later: it did not get a lock in time, was the victim of a
/// deadlock, or lost the server. Other errors are permanent.
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
