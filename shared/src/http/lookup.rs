//! Looking something up for a caller.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::Problem;
use crate::{db, fault::Fault};

/// Looking something up may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Looks something up, outside any transaction and within a limit. A database that is out of reach
/// is worth another try; what it holds and nobody can read is our fault.
pub async fn look_up<T, E: Into<Fault> + From<sqlx::Error>>(
    pool: &PgPool,
    look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, Problem> {
    db::read(pool, READ_LIMIT, look).await.map_err(|error| match error.into() {
        Fault::Transient(error) => Problem::unavailable(&*error),
        Fault::Poison(error) => Problem::internal(&*error),
    })
}
