//! Settling outcomes: one transaction for all of them, of ended and of continued jobs.

use std::{collections::HashMap, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{
    ClaimedJob, JobHandler, JobResult, WorkerParts,
    outcome::{self, JobRetry, LeaseFence, NextAttempt, PendingOutcomes},
    store::{self, ReleasedJob},
};
use crate::{
    db,
    dead_letter::{self, store::DeadJob},
    effects::{DecisionEffects, SavedEffects},
    fault::{self, Fault, TransactionCollision},
    message::{OutgoingMessage, TraceContext},
};

/// A transaction of outcomes is aborted after this long.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// Outcomes that collided with another transaction are separated and settled again this often.
const COLLISIONS_MAX: u32 = 3;

/// The result of settling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AppliedOutcomes {
    pub(super) done: usize,
    pub(super) gave_up: usize,
    pub(super) again: usize,
    pub(super) lost: usize,
    /// Of the waits until jobs are tried again.
    pub(super) shortest_pause: Option<Duration>,
}

/// Some of the outcomes, borrowed.
type OutcomeSlice<'o, D> = (&'o [(ClaimedJob, JobResult<D>)], &'o [LeaseFence], &'o [JobRetry]);

impl<E: JobHandler> WorkerParts<E> {
    /// Settles all outcomes. After a transient fault, those that are not yet settled are still in
    /// `outcomes`.
    pub(super) async fn settle(
        &self,
        outcomes: &mut PendingOutcomes<E::Done>,
    ) -> Result<AppliedOutcomes, Fault> {
        let mut settled = AppliedOutcomes::default();
        let mut collisions = 0;
        while outcomes.len() > 0 {
            let all = (&*outcomes.ended, &*outcomes.fences, &*outcomes.stays);
            match self.apply_outcomes(all).await {
                Ok(()) => {
                    settled.count(outcomes);
                    *outcomes = PendingOutcomes::default();
                }
                Err(fault) if fault.is_collision() && collisions < COLLISIONS_MAX => {
                    collisions += 1;
                    settled.lost += self.drop_lost(outcomes).await?;
                }
                Err(Fault::Poison(error)) => {
                    tracing::warn!(
                        kind = E::KIND,
                        error = fault::chain(&*error),
                        "outcomes cannot be applied together and are applied one by one"
                    );
                    self.isolate(outcomes, &mut settled).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(settled)
    }

    /// One transaction: the effect's own rows, the jobs' rows, the messages.
    async fn apply_outcomes(&self, some: OutcomeSlice<'_, E::Done>) -> Result<(), Fault> {
        let work = AssertUnwindSafe(self.transact(some)).catch_unwind();
        let work = work
            .map(|caught| caught.unwrap_or_else(|_panic| Err(Fault::poison("settling panicked"))));
        let saved = db::within(db::limit(&self.pool, SETTLE_LIMIT), work).await?;
        self.wakers.after_commit(saved);
        Ok(())
    }

    async fn transact(
        &self,
        (ended, fences, stays): OutcomeSlice<'_, E::Done>,
    ) -> Result<SavedEffects, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let mut effects = match ended {
            [] => DecisionEffects::default(),
            ended => self.effect.settle(&mut tx, ended).await?,
        };
        let mut done = Vec::new();
        let mut dead = Vec::new();
        for ((job, ended), fence) in ended.iter().zip(fences) {
            match ended {
                JobResult::Done(_) => done.push((job.key.as_str(), *fence)),
                JobResult::GaveUp { in_doubt, reason } => dead.push(JobRetry {
                    key: job.key.clone(),
                    fence: *fence,
                    next: NextAttempt::Dead,
                    in_doubt: *in_doubt,
                    open: false,
                    error: reason.clone(),
                }),
            }
        }
        let stay: Vec<&JobRetry> = stays.iter().chain(&dead).collect();
        let removed = store::remove(&mut tx, E::KIND, &done).await?;
        let released = store::release(&mut tx, E::KIND, &stay).await?;
        if removed != done.len() as u64 || released.len() != stay.len() {
            return Err(Fault::transient(TransactionCollision));
        }
        effects.messages.extend(self.copies(&stay, &released));
        let saved = effects.save(&mut tx, &self.wakers).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// The copies, for the dead-letter topic, of the jobs that are dead now.
    fn copies(&self, stay: &[&JobRetry], released: &[ReleasedJob]) -> Vec<OutgoingMessage> {
        let ids: HashMap<&str, Uuid> = released
            .iter()
            .filter(|job| !job.stopped)
            .map(|job| (job.key.as_str(), job.letter_id))
            .collect();
        let dead = stay.iter().filter(|job_retry| job_retry.next == NextAttempt::Dead);
        let copy = |job_retry: &&JobRetry| {
            Some(dead_letter::store::copy_of_job(
                self.service,
                &DeadJob {
                    id: *ids.get(job_retry.key.as_str())?,
                    kind: E::KIND,
                    key: &job_retry.key,
                    attempts: job_retry.fence.attempt,
                    in_doubt: job_retry.in_doubt,
                    error: &job_retry.error,
                },
            ))
        };
        dead.filter_map(copy).collect()
    }

    /// Drops outcomes that do not count any more; returns their number.
    async fn drop_lost(&self, outcomes: &mut PendingOutcomes<E::Done>) -> Result<usize, Fault> {
        let before = outcomes.len();
        let present = db::within(db::limit(&self.pool, SETTLE_LIMIT), async {
            let mut conn = db::borrow(&self.pool).await?;
            let present = store::present(&mut conn, E::KIND, &outcomes.keys()).await?;
            conn.give_back();
            Ok::<_, Fault>(present)
        });
        outcomes.keep_those_of(&present.await?);
        let lost = before - outcomes.len();
        if lost > 0 {
            tracing::warn!(kind = E::KIND, lost, "outcomes came after their leases had ended");
        }
        Ok(lost)
    }

    /// Settles outcomes one by one. One that fails even alone stays: a job that was done or given
    /// up and cannot be settled is in doubt and tried again, at last dead.
    async fn isolate(
        &self,
        outcomes: &mut PendingOutcomes<E::Done>,
        settled: &mut AppliedOutcomes,
    ) -> Result<(), Fault> {
        while let Some(last) = outcomes.ended.len().checked_sub(1) {
            let one = (&outcomes.ended[last..], &outcomes.fences[last..], &[][..]);
            let fault = match self.apply_outcomes(one).await {
                Ok(()) => {
                    settled.count_ended(&outcomes.ended[last].1);
                    outcomes.drop_last();
                    continue;
                }
                Err(fault) => fault,
            };
            if fault.is_collision() {
                settled.lost += self.drop_lost(outcomes).await?;
                continue;
            }
            let Fault::Poison(error) = fault else { return Err(fault) };
            let error = fault::chain(&*error);
            let ClaimedJob { key, trace, .. } = &outcomes.ended[last].0;
            let trace_id = trace.as_ref().map(TraceContext::trace_id);
            let what = "the outcome of a job cannot be applied";
            tracing::error!(kind = E::KIND, key, trace_id, error, "{what}");
            outcomes.hold_last(outcome::delay(&self.policy, i32::MAX, None), error);
        }
        Ok(())
    }
}

impl AppliedOutcomes {
    fn count<D>(&mut self, outcomes: &PendingOutcomes<D>) {
        self.again += outcomes.stays.len();
        let pauses = outcomes.stays.iter().filter_map(|job_retry| match job_retry.next {
            NextAttempt::In(pause) => Some(pause),
            NextAttempt::Dead => None,
        });
        self.shortest_pause = self.shortest_pause.into_iter().chain(pauses).min();
        for (_, ended) in &outcomes.ended {
            self.count_ended(ended);
        }
    }

    fn count_ended<D>(&mut self, ended: &JobResult<D>) {
        match ended {
            JobResult::Done(_) => self.done += 1,
            JobResult::GaveUp { .. } => self.gave_up += 1,
        }
    }
}
