//! Messages that never came: a counter that must stay 0.
//!
//! This service reads every topic on which the others speak of orders, and keeps the number of each
//! message in the order's history. A number that is missing below one that is there was lost on the
//! way, once it is certain that it had its time to come:
//!
//! ```text
//! mark where the history ends ──> everything said up to now is read ──> all who wrote to it then have ended ──> look for gaps
//! ```
//!
//! A source publishes in the order of its numbers, over all its topics. So whatever is below a
//! message that we have was said before it, and is read once the whole group has read what had been
//! said by then ([`Lag`]).
//!
//! It cannot see the loss of a source's last word on an order, behind which nothing came; nor what
//! is missing of a product, whose topic forgets older words. A gap in an order of which a message
//! is or was a dead letter is explained by that: it was read, and a person knows of it.

use std::{convert::Infallible, time::Duration};

use shared::{
    backoff::Backoff,
    db,
    fault::{self, Fault},
    lag::Lag,
    sequence,
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    NAME,
    store::gaps::{self, Gap, Mark},
};

/// What the check works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database.
    pub pool: PgPool,
    /// How far this service has read.
    pub lag: Lag,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It marked where the history ends.
    Marked,
    /// Not everything that had been said by the time of the mark is read and settled.
    Waiting,
    /// It looked at entries, and these are the gaps that they show; there may be more entries.
    Looked(Vec<Gap>),
}

/// Entries looked at in one transaction, at most.
const ENTRIES_MAX: i64 = 5_000;
/// One look may take this long.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// About so long between two looks.
const POLL: Duration = Duration::from_secs(1);

/// Looks for messages that never came.
#[derive(Debug)]
pub struct Losses {
    parts: Parts,
    mark: Option<(Mark, Instant)>,
}

impl Losses {
    /// A check that has not begun; its counter is shown at 0.
    pub fn new(parts: Parts) -> Self {
        metrics::counter!(sequence::LOSSES, "service" => NAME).increment(0);
        Self { parts, mark: None }
    }

    /// Steps until told to stop.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let backoff = Backoff::hold();
        let mut failures = 0;
        while let Some(outcome) = stop.run_until_cancelled(Box::pin(self.step())).await {
            let wait = match outcome {
                Ok(Step::Looked(_)) => {
                    failures = 0;
                    continue;
                }
                Ok(Step::Marked | Step::Waiting) => {
                    failures = 0;
                    POLL
                }
                Err(fault) => {
                    tracing::warn!(error = fault::chain(&fault), "losses are looked for later");
                    failures += 1;
                    backoff.delay(failures)
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Marks, waits, or looks at one batch.
    pub async fn step(&mut self) -> Result<Step, Fault> {
        let Some((mark, marked_at)) = self.mark.take() else {
            let mark = Box::pin(db::read(&self.parts.pool, LOOK_LIMIT, gaps::mark)).await?;
            // After the question: what it saw had been said before.
            self.mark = Some((mark, Instant::now()));
            return Ok(Step::Marked);
        };
        let is_read = self.parts.lag.read_up_to().is_some_and(|it| it >= marked_at);
        if !is_read {
            self.mark = Some((mark, marked_at));
            return Ok(Step::Waiting);
        }
        let limit = db::limit(&self.parts.pool, LOOK_LIMIT);
        let looked = db::within(limit, Box::pin(self.look(&mark))).await;
        if !matches!(looked, Ok(Look::Done)) {
            self.mark = Some((mark, marked_at));
        }
        let Look::At(gaps) = looked? else { return Ok(Step::Waiting) };
        report(&gaps);
        Ok(Step::Looked(gaps))
    }

    async fn look(&self, mark: &Mark) -> Result<Look, Fault> {
        let mut tx = db::begin(&self.parts.pool).await?;
        if !gaps::is_settled(&mut tx, mark).await? {
            tx.rollback().await?;
            return Ok(Look::Unsettled);
        }
        let Some(range) = gaps::take(&mut tx, mark, ENTRIES_MAX).await? else {
            tx.rollback().await?;
            return Ok(Look::Done);
        };
        let gaps = gaps::find(&mut tx, range).await?;
        tx.commit().await?;
        Ok(Look::At(gaps))
    }
}

/// What a look at the history came to.
enum Look {
    /// Transactions that may write below the mark are still open.
    Unsettled,
    /// Some entries were looked at.
    At(Vec<Gap>),
    /// Nothing is left up to the mark, or somebody else is at it.
    Done,
}

fn report(gaps: &[Gap]) {
    for Gap { order_id, source, sequence, missing } in gaps {
        metrics::counter!(sequence::LOSSES, "service" => NAME).increment(missing.unsigned_abs());
        tracing::error!(%order_id, source, sequence, missing, "messages never came");
    }
}
