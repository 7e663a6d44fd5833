//! Database reads for an HTTP caller.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::Problem;
use crate::{db, fault::Fault};

/// Looking something up may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Reads from the database, outside any transaction and within a limit. A database that is out of
/// reach is worth a retry; stored data that cannot be read are a server fault.
pub async fn look_up<T, E: Into<Fault> + From<sqlx::Error>>(
    pool: &PgPool,
    look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, Problem> {
    db::read(pool, READ_LIMIT, look).await.map_err(|error| match error.into() {
        Fault::Transient(error) => Problem::unavailable(&*error),
        Fault::Poison(error) => Problem::internal(&*error),
    })
}
