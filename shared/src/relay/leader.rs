//! Who may publish: an advisory lock on a connection of its own, and an epoch.
//!
//! **Architecture invariant:** the connection that holds the lock is the one that reads and settles
//! the outbox. Who lost the lock has lost the means to settle; the epoch catches what is left.

use sqlx::{Connection as _, PgConnection};

use super::{Settings, known::Known};

/// The right to publish.
#[derive(Debug)]
pub struct Leader {
    pub(super) conn: PgConnection,
    pub(super) epoch: i64,
    pub(super) known: Known,
}

impl Leader {
    /// Becomes the leader, unless there is one.
    pub async fn elect(settings: &Settings) -> Result<Option<Self>, sqlx::Error> {
        let mut conn = PgConnection::connect_with(&settings.database).await?;
        let elected: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended('messaging.relay', 0))",
        )
        .fetch_one(&mut conn)
        .await?;
        if !elected {
            conn.close().await?;
            return Ok(None);
        }
        let epoch = sqlx::query_scalar(
            "INSERT INTO messaging.relay_lease (epoch, holder) VALUES (1, $1)
             ON CONFLICT (only_row) DO UPDATE
             SET epoch = relay_lease.epoch + 1, holder = excluded.holder, acquired_at = now()
             RETURNING epoch",
        )
        .bind(format!("{}/{}", settings.service, std::process::id()))
        .fetch_one(&mut conn)
        .await?;
        let known = Known::read(&mut conn).await?;
        tracing::info!(epoch, "this relay leads");
        Ok(Some(Self { conn, epoch, known }))
    }
}
