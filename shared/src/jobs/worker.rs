//! The worker of one kind of jobs: claims, performs, settles the outcomes.
//!
//! ```text
//! claim (as many as fit in the limits) ──> perform, each its own task ──> gather what ended ──> settle
//!    ^                                                                                           │
//!    └───────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Outcomes are settled in batches: those that have ended by the time the first one is a few
//! milliseconds old, or all, if no attempt is running any more. So a slow attempt delays nothing.
//!
//! An outcome that cannot be settled is kept and tried again for as long as the process lives; no
//! job is claimed meanwhile. Its lease may run out: then another worker may claim the job, and
//! [`super`] says which outcome counts. A worker does not claim a job that it performs.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    AttemptFailure, JobHandler, JobResult, WorkerParts,
    due_floor::DueFloor,
    failure_log::FailureLog,
    leases::LeaseTimes,
    outcome::{self, AttemptVerdict, LeasedJob, PendingOutcomes, RetryRules},
    settle::AppliedOutcomes,
    store,
};
use crate::{backoff::BackoffSchedule, db, fault, fault::Fault, lifecycle, message::TraceContext};

/// The first outcome of a batch waits this long for others.
const GATHER: Duration = Duration::from_millis(5);

/// A claim is aborted after this long.
const CLAIM_LIMIT: Duration = Duration::from_secs(10);

/// The time limits of a worker after it was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopGrace {
    /// Attempts may continue for this long.
    pub attempts: Duration,
    /// After this, all work is aborted, also within a transaction: it is rolled back, or the number
    /// of its attempt identifies it.
    pub in_all: Duration,
}

impl Default for StopGrace {
    fn default() -> Self {
        Self { attempts: Duration::from_secs(2), in_all: Duration::from_millis(2_500) }
    }
}

/// The result of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStep {
    /// Jobs that were claimed.
    pub claimed: usize,
    /// Jobs that were done.
    pub done: usize,
    /// Jobs that became dead.
    pub gave_up: usize,
    /// Jobs that will be tried again.
    pub again: usize,
    /// Outcomes that came after their lease had ended, and do not count.
    pub lost: usize,
}

/// Registers the counters of a kind before the first job.
fn announce(kind: &'static str) {
    for outcome in ["done", "refused", "unknown", "final"] {
        metrics::counter!("job_attempts_total", "kind" => kind, "outcome" => outcome).increment(0);
    }
    for how in ["done", "gave up"] {
        metrics::counter!("job_ended_total", "kind" => kind, "how" => how).increment(0);
    }
}

/// The result of an attempt, as its task returns it.
type JoinedAttempt<D> = Result<(Id, Result<D, AttemptFailure>), JoinError>;

/// Performs the jobs of one kind. Any number of workers may perform the same kind.
pub struct JobWorker<E: JobHandler> {
    parts: Arc<WorkerParts<E>>,
    performing: JoinSet<Result<E::Done, AttemptFailure>>,
    in_hand: HashMap<Id, LeasedJob>,
    outcomes: PendingOutcomes<E::Done>,
    complaints: FailureLog,
    beginning: DueFloor,
    stopping: StopGrace,
    leases: LeaseTimes,
    renewed_at: Instant,
}

impl<E: JobHandler> fmt::Debug for JobWorker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("kind", &E::KIND)
            .field("performing", &self.in_hand.len())
            .finish_non_exhaustive()
    }
}

impl<E: JobHandler> JobWorker<E> {
    /// A worker that has claimed nothing yet.
    pub fn new(parts: WorkerParts<E>) -> Self {
        announce(E::KIND);
        Self {
            parts: Arc::new(parts),
            performing: JoinSet::new(),
            in_hand: HashMap::new(),
            outcomes: PendingOutcomes::default(),
            complaints: FailureLog::default(),
            beginning: DueFloor::of(E::KIND),
            stopping: StopGrace::default(),
            leases: LeaseTimes::default(),
            renewed_at: Instant::now(),
        }
    }

    /// The same with leases of its own.
    #[must_use]
    pub fn with_leases(self, leases: LeaseTimes) -> Self {
        Self { leases, ..self }
    }

    /// The same with its own time limits after it was told to stop.
    #[must_use]
    pub fn stopping_within(self, stopping: StopGrace) -> Self {
        Self { stopping, ..self }
    }

    /// The effect of this worker, for jobs that are to be tried again.
    pub fn parts(&self) -> Arc<WorkerParts<E>> {
        Arc::clone(&self.parts)
    }

    /// Works until told to stop; then lets attempts end and settles the known outcomes, within
    /// limits: an unavailable database is not waited for.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let give_up_after = self.stopping.in_all;
        tokio::select! {
            () = Box::pin(self.work(&stop)) => (),
            () = lifecycle::stopped_for(&stop, give_up_after) => (),
        }
        let lost = self.outcomes.len() + self.in_hand.len();
        if lost > 0 {
            tracing::warn!(kind = E::KIND, lost, "outcomes are left to the next attempt");
        }
        Ok(())
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let backoff = BackoffSchedule::hold();
        let mut failures = 0;
        let wakers = self.parts.wakers.clone();
        while !stop.is_cancelled() {
            // Interest is registered before the table is read, so that a wake-up in between counts.
            let mut woken = std::pin::pin!(wakers.jobs.notified());
            woken.as_mut().enable();
            let renewed = self.renew().await;
            let wait = match renewed.and(self.claim().await) {
                Ok(_) => {
                    failures = 0;
                    self.parts.health.ready();
                    self.parts.policy.poll
                }
                Err(fault) => {
                    failures += 1;
                    self.complain(&fault, "jobs cannot be claimed");
                    backoff.delay(failures)
                }
            };
            if self.outcomes.len() == 0 {
                tokio::select! {
                    () = stop.cancelled() => break,
                    joined = self.performing.join_next_with_id(), if !self.in_hand.is_empty() => {
                        self.note(joined);
                        self.gather().await;
                    }
                    () = woken, if failures == 0 && self.room() > 0 => (),
                    () = tokio::time::sleep(wait) => (),
                }
            }
            self.settle_until(stop.cancelled()).await;
        }
        self.finish().await;
    }

    fn rules(&self) -> RetryRules<'_> {
        RetryRules { policy: &self.parts.policy, doubts: self.parts.effect.doubts() }
    }

    /// Claims the due jobs, performs all of them, settles all outcomes.
    pub async fn step(&mut self) -> Result<WorkerStep, Fault> {
        let claimed = self.claim().await?;
        while !self.in_hand.is_empty() {
            let joined = self.performing.join_next_with_id().await;
            self.note(joined);
        }
        let AppliedOutcomes { done, gave_up, again, lost } = self.settle().await?;
        Ok(WorkerStep { claimed, done, gave_up, again, lost })
    }

    /// How many more jobs may be claimed.
    fn room(&self) -> usize {
        let held = self.in_hand.len() + self.outcomes.len();
        let room = self.parts.policy.concurrency_max.saturating_sub(held);
        room.min(self.parts.effect.room())
    }

    /// Renews the leases of jobs that are running or not settled yet, if it is time.
    async fn renew(&mut self) -> Result<(), Fault> {
        let held = self.outcomes.held_with(self.in_hand.values());
        if held.is_empty() || self.renewed_at.elapsed() < self.leases.renewed {
            return Ok(());
        }
        let lease = self.leases.lease(self.parts.policy.attempt_limit);
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

    /// Claims jobs and begins to perform them. The attempts are committed before they start.
    async fn claim(&mut self) -> Result<usize, Fault> {
        let room = self.room();
        if room == 0 {
            return Ok(0);
        }
        // Counted from before the claim, so that every attempt has ended when its last lease does.
        let limit = tokio::time::Instant::now() + self.parts.policy.attempt_limit;
        let lease = self.leases.lease(self.parts.policy.attempt_limit);
        // A lease may have run out while the process was suspended, or could not renew the lease.
        let held = self.outcomes.held_with(self.in_hand.values());
        let claimed = db::within(db::limit(&self.parts.pool, CLAIM_LIMIT), async {
            let mut conn = db::borrow(&self.parts.pool).await?;
            let from = self.beginning.get(&mut conn).await?;
            let claimed = store::claim(&mut conn, E::KIND, from, (lease, room), &held).await?;
            conn.give_back();
            Ok::<_, sqlx::Error>(claimed)
        })
        .await?;
        let n = claimed.len();
        for leased in claimed {
            if let Some(reason) = outcome::used_up(self.rules(), &leased.job, leased.doubts) {
                let in_doubt = leased.job.in_doubt;
                leased.record(E::KIND, "given-up", Some(reason.clone()));
                self.outcomes
                    .push(leased, AttemptVerdict::Ended(JobResult::GaveUp { in_doubt, reason }));
            } else {
                self.perform(leased, limit);
            }
        }
        Ok(n)
    }

    fn perform(&mut self, leased: LeasedJob, limit: tokio::time::Instant) {
        let parts = Arc::clone(&self.parts);
        let job = leased.job.clone();
        let trace_id = job.trace.as_ref().map(TraceContext::trace_id);
        let span = tracing::info_span!(
            "job",
            kind = E::KIND,
            key = job.key,
            attempt = job.attempt,
            trace_id
        );
        let attempt = async move {
            let began = Instant::now();
            let outcome = tokio::time::timeout_at(limit, parts.effect.perform(&job))
                .await
                .unwrap_or_else(|elapsed| Err(AttemptFailure::InDoubt { source: elapsed.into() }));
            metrics::histogram!("job_attempt_duration_seconds", "kind" => E::KIND)
                .record(began.elapsed());
            outcome
        };
        let task = self.performing.spawn(attempt.instrument(span));
        self.in_hand.insert(task.id(), leased);
    }

    /// Records an attempt that ended.
    fn note(&mut self, joined: Option<JoinedAttempt<E::Done>>) {
        let (id, outcome) = match joined {
            Some(Ok((id, outcome))) => (id, outcome),
            // The task panicked, or was aborted because the process stops.
            Some(Err(error)) => (error.id(), Err(AttemptFailure::InDoubt { source: error.into() })),
            None => return,
        };
        let Some(leased) = self.in_hand.remove(&id) else { return };
        let label = match &outcome {
            Ok(_) => "done",
            Err(AttemptFailure::NoEffect { .. }) => "refused",
            Err(AttemptFailure::InDoubt { .. }) => "unknown",
            Err(AttemptFailure::Permanent { .. }) => "final",
        };
        metrics::counter!("job_attempts_total", "kind" => E::KIND, "outcome" => label).increment(1);
        let error = outcome.as_ref().err().map(|attempt_failure| fault::chain(attempt_failure));
        if let Some(error) = &error {
            self.tell(&leased, error);
        }
        leased.record(E::KIND, label, error);
        let verdict = outcome::judge(self.rules(), &leased.job, leased.doubts, outcome);
        self.outcomes.push(leased, verdict);
    }

    /// Logs a failed attempt, unless another one was logged a moment ago.
    fn tell(&mut self, leased: &LeasedJob, error: &str) {
        let (kind, key, attempt) = (E::KIND, &leased.job.key, leased.job.attempt);
        let trace_id = leased.job.trace.as_ref().map(TraceContext::trace_id);
        if let Some(untold) = self.complaints.note(Instant::now()) {
            tracing::info!(kind, key, attempt, trace_id, untold, error, "an attempt failed");
        } else {
            tracing::debug!(kind, key, attempt, trace_id, error, "an attempt failed");
        }
    }

    /// Waits for more outcomes, as long as attempts are running and the batch is young.
    async fn gather(&mut self) {
        let mut grown = std::pin::pin!(tokio::time::sleep(GATHER));
        while !self.in_hand.is_empty() {
            tokio::select! {
                joined = self.performing.join_next_with_id() => self.note(joined),
                () = &mut grown => return,
            }
        }
    }

    async fn settle(&mut self) -> Result<AppliedOutcomes, Fault> {
        let n = self.outcomes.len();
        if n == 0 {
            return Ok(AppliedOutcomes::default());
        }
        // Boxed: a transaction is a large future, and the future of a step would contain it.
        let settled = Box::pin(self.parts.settle(&mut self.outcomes)).await?;
        metrics::histogram!("job_settle_batch_size", "kind" => E::KIND)
            .record(u32::try_from(n).unwrap_or(u32::MAX));
        for (how, n) in [("done", settled.done), ("gave up", settled.gave_up)] {
            metrics::counter!("job_ended_total", "kind" => E::KIND, "how" => how)
                .increment(n as u64);
        }
        Ok(settled)
    }

    /// Settles outcomes, in as many tries as it takes, until `enough`.
    async fn settle_until(&mut self, enough: impl Future<Output = ()>) {
        let mut enough = std::pin::pin!(enough);
        let backoff = BackoffSchedule::hold();
        let mut failures = 0;
        while let Err(fault) = self.settle().await {
            self.complain(&fault, "outcomes cannot be applied");
            tokio::select! {
                () = &mut enough => return,
                () = tokio::time::sleep(backoff.delay(failures)) => failures += 1,
            }
            // The leases are renewed, so that no other worker performs the same jobs meanwhile.
            if let Err(fault) = self.renew().await {
                tracing::debug!(error = fault::chain(&fault), "leases are not renewed");
            }
            while let Some(joined) = self.performing.try_join_next_with_id() {
                self.note(Some(joined));
            }
        }
    }

    /// Lets attempts end, aborts those that take too long, and settles the known outcomes.
    async fn finish(&mut self) {
        let limit = tokio::time::Instant::now() + self.stopping.attempts;
        while !self.in_hand.is_empty() {
            match tokio::time::timeout_at(limit, self.performing.join_next_with_id()).await {
                Ok(joined) => self.note(joined),
                Err(_elapsed) => break,
            }
        }
        // The outcome of aborted attempts is unknown; the next worker may claim them at once.
        self.performing.abort_all();
        while let Some(joined) = self.performing.join_next_with_id().await {
            self.note(Some(joined));
        }
        self.settle_until(tokio::time::sleep_until(limit)).await;
    }

    fn complain(&self, fault: &Fault, what: &'static str) {
        self.parts.health.not_ready(what);
        tracing::warn!(kind = E::KIND, error = fault::chain(fault), "{what}");
    }
}
