//! What a worker does in the table of jobs beside settling: claims, renews leases, gives back.

use std::time::{Duration, Instant};

use super::JobWorker;
use crate::{
    db,
    fault::Fault,
    jobs::{
        JobHandler, JobResult,
        outcome::{self, AttemptVerdict, LeasedJob},
        store,
    },
};

/// A claim is aborted after this long, and so is giving back.
const CLAIM_LIMIT: Duration = Duration::from_secs(10);

/// The outcome of a look for due jobs.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLook {
    pub(super) claimed: usize,
    /// There may be more: it filled its slots, or had none.
    pub(super) is_full: bool,
    /// Other slots are free.
    pub(super) is_part: bool,
}

impl<E: JobHandler> JobWorker<E> {
    /// Renews the leases of jobs that are running or not settled yet, if it is time.
    pub(super) async fn renew(&mut self) -> Result<(), Fault> {
        let held = self.outcomes.held_with(self.attempts.jobs());
        if held.is_empty() {
            // What begins later has a later lease.
            self.renewed_at = Instant::now();
        }
        if held.is_empty() || self.renewed_at.elapsed() < self.leases.renewed {
            return Ok(());
        }
        let lease = self.lease();
        db::within(db::limit(&self.parts.pool, CLAIM_LIMIT), async {
            let mut conn = db::borrow(&self.parts.pool).await?;
            store::renew(&mut conn, E::KIND, &held, lease).await?;
            conn.give_back();
            Ok::<_, sqlx::Error>(())
        })
        .await?;
        self.renewed_at = Instant::now();
        Ok(())
    }

    /// Gives back the jobs that were handed over and will not be begun.
    pub(super) async fn give_back(&mut self) -> Result<(), Fault> {
        if self.attempts.unbegun().is_empty() {
            return Ok(());
        }
        let unbegun = self.attempts.unbegun().clone();
        db::within(db::limit(&self.parts.pool, CLAIM_LIMIT), async {
            let mut conn = db::borrow(&self.parts.pool).await?;
            store::give_back(&mut conn, E::KIND, &unbegun).await?;
            conn.give_back();
            Ok::<_, sqlx::Error>(())
        })
        .await?;
        self.attempts.unbegun().clear();
        self.show_held();
        self.look_at = Instant::now();
        Ok(())
    }

    /// Claims jobs and begins to perform them. The attempts are committed before they start.
    pub(super) async fn claim(&mut self) -> Result<TableLook, Fault> {
        let slots = self.slots.begin_look();
        if slots.n == 0 {
            return Ok(TableLook { claimed: 0, is_full: true, is_part: false });
        }
        // Counted from before the claim, so that every attempt has ended when its last lease does.
        let limit = tokio::time::Instant::now() + self.parts.policy.attempt_limit;
        let claimed = self.claim_due(slots.n).await;
        let is_full = claimed.as_ref().map_or(true, |jobs| jobs.len() >= slots.n);
        self.slots.end_look(is_full);
        let begun = claimed.map(|jobs| self.begin_claimed(jobs, limit));
        self.show_held();
        Ok(TableLook { claimed: begun?, is_full, is_part: slots.is_part })
    }

    /// Begins the attempts of jobs that were claimed; returns their number.
    fn begin_claimed(&mut self, claimed: Vec<LeasedJob>, limit: tokio::time::Instant) -> usize {
        let n = claimed.len();
        for leased in claimed {
            if let Some(reason) =
                outcome::used_up(self.attempts.rules(), &leased.job, leased.doubts)
            {
                let in_doubt = leased.job.in_doubt;
                leased.record(E::KIND, "given-up", Some(reason.clone()));
                self.outcomes
                    .push(leased, AttemptVerdict::Ended(JobResult::GaveUp { in_doubt, reason }));
            } else {
                self.attempts.begin(leased, limit);
            }
        }
        n
    }

    async fn claim_due(&mut self, n_max: usize) -> Result<Vec<LeasedJob>, Fault> {
        let lease = self.lease();
        // A lease may have run out while the process was suspended, or could not renew the lease.
        let held = self.outcomes.held_with(self.attempts.jobs());
        db::within(db::limit(&self.parts.pool, CLAIM_LIMIT), async {
            let mut conn = db::borrow(&self.parts.pool).await?;
            let from = self.beginning.get(&mut conn).await?;
            let claimed = store::claim(&mut conn, E::KIND, from, (lease, n_max), &held).await?;
            conn.give_back();
            Ok(claimed)
        })
        .await
    }
}
