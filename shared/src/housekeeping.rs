//! Housekeeping: deletes rows whose retention has ended.
//!
//! These are ids of messages that no topic can deliver again ([`inbox::RETENTION`]), dead letters
//! closed as long ago, answers whose keys are free again ([`idempotency::KEPT`]), and messages
//! published long enough ago ([`published`]). All ages are by the database's clock. Several
//! instances share the work: a row that one instance has locked is skipped by the others.
//!
//! **Architecture invariant:** nothing waits for housekeeping and nothing fails by it. A batch is
//! bounded, so that no lock is held for long, and a failed batch is tried again later.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::BackoffSchedule,
    db, dead_letter, fault, idempotency, inbox,
    lifecycle::{InfallibleResult, RepeatedSteps},
    published,
};

/// The settings of housekeeping.
#[derive(Clone, Copy, Debug)]
pub struct HousekeepingSettings {
    /// Rows that one statement deletes, at most.
    pub batch_max: i64,
    /// About so long between two rounds.
    pub rest: Duration,
    /// What was published is kept this long: [`published::purge`].
    pub published_span: Duration,
}

impl Default for HousekeepingSettings {
    fn default() -> Self {
        Self {
            batch_max: 5_000,
            rest: Duration::from_mins(10),
            published_span: published::PublishedRetention::default().span,
        }
    }
}

/// What one step deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HousekeepingStep {
    /// Rows deleted from the inbox.
    pub inbox: u64,
    /// Stored HTTP answers deleted from the idempotency table.
    pub idempotency: u64,
    /// Dead letters deleted that were decided long enough ago.
    pub dead_letters: u64,
    /// Messages that were kept in case their topic is lost.
    pub published: u64,
    /// Whether a batch was full: there may be more.
    pub more: bool,
}

/// One batch may take this long.
const BATCH_LIMIT: Duration = Duration::from_secs(20);

/// Deletes what is old, batch by batch.
#[derive(Debug)]
pub struct HousekeepingTask {
    pool: PgPool,
    settings: HousekeepingSettings,
}

impl HousekeepingTask {
    /// Deletes old rows from the messaging runtime's tables in this database.
    pub fn new(pool: PgPool, settings: HousekeepingSettings) -> Self {
        metrics::describe_counter!(
            "housekeeping_deleted_total",
            "Rows that were old and are gone, by table."
        );
        Self { pool, settings }
    }

    /// Steps until told to stop; rests whenever nothing is left to delete.
    pub async fn run(self, stop: CancellationToken) -> InfallibleResult {
        let rest = self.settings.rest;
        let backoff = BackoffSchedule { first: Duration::from_secs(1), factor: 2.0, cap: rest };
        let mut steps = RepeatedSteps::until(stop);
        while let Some(outcome) = steps.next(self.step()).await {
            match outcome {
                Ok(HousekeepingStep { more: true, .. }) => steps.go_on(),
                // Instances that started together do not run at the same time.
                Ok(_) => steps.pause(rest.mul_f64(0.75 + 0.5 * fastrand::f64())),
                Err(error) => {
                    let error = fault::chain(&error);
                    tracing::warn!(error, "old rows stay until the next try");
                    steps.back_off(backoff);
                }
            }
        }
        Ok(())
    }

    /// Deletes one batch of each table.
    pub async fn step(&self) -> Result<HousekeepingStep, sqlx::Error> {
        let n_max = self.settings.batch_max;
        let inbox = self.delete("inbox", async |conn| inbox::purge(conn, n_max).await).await?;
        let idempotency =
            self.delete("idempotency", async |conn| idempotency::purge(conn, n_max).await).await?;
        let letters = async |conn: &mut PgConnection| dead_letter::purge(conn, n_max).await;
        let dead_letters = self.delete("dead_letter", letters).await?;
        let span = self.settings.published_span;
        let published = async |conn: &mut PgConnection| published::purge(conn, span, n_max).await;
        let published = self.delete("published", published).await?;
        let full = |deleted: u64| deleted >= n_max.unsigned_abs();
        let more = [inbox, idempotency, dead_letters, published].into_iter().any(full);
        Ok(HousekeepingStep { inbox, idempotency, dead_letters, published, more })
    }

    async fn delete(
        &self,
        table: &'static str,
        purge: impl AsyncFnOnce(&mut PgConnection) -> Result<u64, sqlx::Error>,
    ) -> Result<u64, sqlx::Error> {
        let work = Box::pin(async {
            let mut tx = db::begin(&self.pool).await?;
            let deleted = purge(&mut tx).await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(deleted)
        });
        let deleted = db::within(db::limit(&self.pool, BATCH_LIMIT), work).await?;
        metrics::counter!("housekeeping_deleted_total", "table" => table).increment(deleted);
        Ok(deleted)
    }
}
