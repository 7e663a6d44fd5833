//! Sampled metrics: gauges counted from database rows every few seconds.
//!
//! ```text
//! one statement ──> gauges ──> rest for 5 s ──> …
//! ```
//!
//! The gauges show states, not events, so they are read from the rows and not kept in memory: they
//! are correct after any restart. Every instance of a service counts the same rows; a query over
//! all instances has to take the maximum, not the sum.
//!
//! A sample costs what is open, and not what ever was: rows that have ended leave dead entries in an
//! index until it is vacuumed, and as long as an old snapshot is open they stay. So a sampler
//! remembers from where on there are open rows ([`ScanFloor`]).
//!
//! **Architecture invariant:** a sample is one statement outside any transaction, along an index,
//! and reads at most [`FAR_ENOUGH`] rows of each kind. Nothing waits for it. A sample that fails
//! leaves the gauges as they were and is counted; the parts that use the database report the cause.

use std::{future::Future, time::Duration};

use metrics::{counter, describe_counter};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

pub use self::scan_floor::{OVERLAP, ScanFloor};
use crate::{
    db, fault,
    lifecycle::{InfallibleResult, RepeatedSteps},
};

mod scan_floor;

/// The highest number of rows that is counted.
pub const FAR_ENOUGH: i64 = 10_000;

/// The pause between two samples.
const PERIOD: Duration = Duration::from_secs(5);

/// The time limit of one sample.
const SAMPLE_LIMIT: Duration = Duration::from_secs(5);

const FAILURES: &str = "sampler_failures_total";

/// A source of gauges that costs a query, so it is read at intervals.
pub trait MetricSampler: Send + Sync + 'static {
    /// The label of the gauges.
    fn of(&self) -> &'static str;

    /// Samples once and sets the gauges.
    fn sample(
        &self,
        conn: &mut PgConnection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// Samples at intervals until told to stop.
#[derive(Debug)]
pub struct SamplerLoop<C> {
    pool: PgPool,
    sampler: C,
}

impl<C: MetricSampler> SamplerLoop<C> {
    /// A loop that has not sampled yet.
    pub fn new(pool: PgPool, sampler: C) -> Self {
        describe_counter!(FAILURES, "Samples of the database that failed: these metrics are old.");
        counter!(FAILURES, "of" => sampler.of()).increment(0);
        Self { pool, sampler }
    }

    /// Samples until told to stop.
    pub async fn run(self, stop: CancellationToken) -> InfallibleResult {
        let mut steps = RepeatedSteps::until(stop);
        while steps.next(self.step()).await.is_some() {
            steps.pause(PERIOD);
        }
        Ok(())
    }

    /// Samples once; returns whether the sample succeeded.
    pub async fn step(&self) -> bool {
        let sample = async |conn: &mut PgConnection| self.sampler.sample(conn).await;
        // Boxed: opening a connection is a large future.
        let sampled = Box::pin(db::read(&self.pool, SAMPLE_LIMIT, sample)).await;
        if let Err(error) = &sampled {
            counter!(FAILURES, "of" => self.sampler.of()).increment(1);
            tracing::debug!(
                of = self.sampler.of(),
                error = fault::chain(error),
                "sampling the database failed"
            );
        }
        sampled.is_ok()
    }
}

/// A number of rows as a gauge takes it.
pub fn rows(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
