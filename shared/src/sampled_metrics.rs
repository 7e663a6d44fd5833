//! How many there are: numbers that only the database knows, counted every few seconds.
//!
//! ```text
//! one statement ──> gauges ──> rest for 5 s ──> …
//! ```
//!
//! What is counted is how things stand and not what happens, so it is asked of the rows and not kept
//! in memory: whatever restarts, the numbers are true. Every instance of a service counts the same
//! rows; whoever adds instances up has to take the highest.
//!
//! **Architecture invariant:** a look is one statement outside any transaction, along an index, and
//! goes no further than [`FAR_ENOUGH`] rows of each sort. Nothing waits for it. A look that fails
//! leaves the numbers as they were and is counted; why it failed is said by those who work with the
//! database.

use std::{future::Future, time::Duration};

use metrics::{counter, describe_counter};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::{
    db, fault,
    lifecycle::{InfallibleResult, RepeatedSteps},
};

/// Counting goes no further: beyond this, more is only more.
pub const FAR_ENOUGH: i64 = 10_000;

/// Rest between two looks.
const PERIOD: Duration = Duration::from_secs(5);

/// One look may take this long.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

const FAILURES: &str = "census_failures_total";

/// What is counted.
pub trait MetricSampler: Send + Sync + 'static {
    /// Of what; its label.
    fn of(&self) -> &'static str;

    /// Looks once and shows what it saw.
    fn look(&self, conn: &mut PgConnection)
    -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// Counts again and again.
#[derive(Debug)]
pub struct SamplerLoop<C> {
    pool: PgPool,
    count: C,
}

impl<C: MetricSampler> SamplerLoop<C> {
    /// One that has not looked yet.
    pub fn new(pool: PgPool, count: C) -> Self {
        describe_counter!(FAILURES, "Looks at the database that failed: these numbers are old.");
        counter!(FAILURES, "of" => count.of()).increment(0);
        Self { pool, count }
    }

    /// Looks until told to stop.
    pub async fn run(self, stop: CancellationToken) -> InfallibleResult {
        let mut steps = RepeatedSteps::until(stop);
        while steps.next(self.step()).await.is_some() {
            steps.pause(PERIOD);
        }
        Ok(())
    }

    /// Looks once; answers whether it saw anything.
    pub async fn step(&self) -> bool {
        let look = async |conn: &mut PgConnection| self.count.look(conn).await;
        // Boxed: opening a connection is a large future.
        let looked = Box::pin(db::read(&self.pool, LOOK_LIMIT, look)).await;
        if let Err(error) = &looked {
            counter!(FAILURES, "of" => self.count.of()).increment(1);
            tracing::debug!(of = self.count.of(), error = fault::chain(error), "was not counted");
        }
        looked.is_ok()
    }
}

/// A number of rows as a gauge takes it.
pub fn rows(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
