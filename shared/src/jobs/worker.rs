//! The worker of one kind of jobs: takes, performs, settles the outcomes.
//!
//! ```text
//! handed over, born claimed ──────────────────────┐
//! look: claim (as many as fit in the limits) ─────┴─> perform, each its own task ──> gather ──> settle
//!    ^                                                                                            │
//!    └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Most jobs are [handed over](super::handover). The table is looked at when something can be due: a
//! job was stored there and the worker was woken, the last look left some, a pause that the worker
//! itself set is over, or the poll interval has passed (retries that others set, leases that ran
//! out).
//!
//! Outcomes are settled in batches: those that have ended when the first one has, and under load
//! those that end a few milliseconds later ([`batch_wait`](crate::batch_wait)). So a slow attempt
//! delays nothing.
//! What is handed over while a batch is settled begins at once.
//!
//! An outcome that cannot be settled is kept and tried again for as long as the process lives; no
//! job is claimed meanwhile. Its lease may run out: then another worker may claim the job, and
//! [`super`] says which outcome counts. A worker does not claim a job that it performs.
//!
//! A worker that stops takes no more. What was handed to it and has not begun is given back as if
//! it had been stored just now: its attempt is not counted, and nothing is in doubt.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    JobHandler, WorkerParts,
    attempts::{JudgedAttempt, RunningAttempts},
    due_floor::DueFloor,
    handover::{HandedJobs, WorkerSlots},
    leases::LeaseTimes,
    outcome::PendingOutcomes,
    settle::AppliedOutcomes,
};
use crate::{
    backoff::BackoffSchedule,
    batch_wait::{BatchWait, WaitLimits},
    fault,
    fault::Fault,
    lifecycle,
};

pub use self::worker_step::WorkerStep;

mod table;
mod worker_step;

/// When the first outcome of a batch waits for others.
const WAIT_LIMITS: WaitLimits =
    WaitLimits { lonely_rate: 100.0, longest: Duration::from_millis(8) };

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

/// Registers the counters of a kind before the first job.
fn announce(kind: &'static str) {
    for outcome in ["done", "refused", "unknown", "final"] {
        metrics::counter!("job_attempts_total", "kind" => kind, "outcome" => outcome).increment(0);
    }
    for how in ["done", "gave up"] {
        metrics::counter!("job_ended_total", "kind" => kind, "how" => how).increment(0);
    }
}

/// Performs the jobs of one kind. Any number of workers may perform the same kind; of those with
/// the same wakers, jobs are handed to the last one that was made.
pub struct JobWorker<E: JobHandler> {
    parts: Arc<WorkerParts<E>>,
    slots: Arc<WorkerSlots>,
    handed: HandedJobs,
    attempts: RunningAttempts<E>,
    outcomes: PendingOutcomes<E::Done>,
    beginning: DueFloor,
    stopping: StopGrace,
    leases: LeaseTimes,
    renewed_at: Instant,
    /// When to look for due jobs.
    look_at: Instant,
    waits: BatchWait,
}

impl<E: JobHandler> fmt::Debug for JobWorker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("kind", &E::KIND)
            .field("performing", &self.attempts.len())
            .finish_non_exhaustive()
    }
}

impl<E: JobHandler> JobWorker<E> {
    /// A worker that has claimed nothing yet. It is handed jobs after its first look.
    pub fn new(parts: WorkerParts<E>) -> Self {
        announce(E::KIND);
        let parts = Arc::new(parts);
        let weak = Arc::downgrade(&parts);
        let room = move || weak.upgrade().map_or(0, |parts| parts.effect.room());
        let (slots, handed) = WorkerSlots::new(parts.policy.concurrency_max, room);
        parts.wakers.jobs.register(E::KIND, &slots);
        let worker = Self {
            attempts: RunningAttempts::of(Arc::clone(&parts)),
            parts,
            slots,
            handed,
            outcomes: PendingOutcomes::default(),
            beginning: DueFloor::of(E::KIND),
            stopping: StopGrace::default(),
            leases: LeaseTimes::default(),
            renewed_at: Instant::now(),
            look_at: Instant::now(),
            waits: BatchWait::within(WAIT_LIMITS),
        };
        worker.with_leases(LeaseTimes::default())
    }

    /// The same with leases of its own.
    #[must_use]
    pub fn with_leases(self, leases: LeaseTimes) -> Self {
        self.slots.lend_for(leases.lease(self.parts.policy.attempt_limit));
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
        let unbegun = self.attempts.unbegun().len();
        let lost = self.outcomes.len() + self.attempts.len() + unbegun;
        if lost > 0 {
            tracing::warn!(kind = E::KIND, lost, "outcomes are left to the next attempt");
        }
        Ok(())
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let backoff = BackoffSchedule::hold();
        let mut failures = 0;
        while !stop.is_cancelled() {
            let wait = match self.keep_up().await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(fault) => {
                    failures += 1;
                    self.look_at = Instant::now();
                    self.complain(&fault, "jobs cannot be claimed");
                    backoff.delay(failures)
                }
            };
            if self.outcomes.len() == 0 {
                let slots = Arc::clone(&self.slots);
                tokio::select! {
                    () = stop.cancelled() => break,
                    judged = self.attempts.next(), if !self.attempts.is_empty() => {
                        self.note(judged);
                        self.gather().await;
                    }
                    Some(born) = self.handed.next() => self.attempts.begin_born(born, self.lease()),
                    () = slots.woken(), if failures == 0 => self.look_at = Instant::now(),
                    () = tokio::time::sleep(wait) => (),
                }
            }
            self.settle_until(stop.cancelled()).await;
        }
        self.finish().await;
    }

    /// Renews leases and looks for due jobs, each if it is time; returns how long to wait if
    /// nothing else happens.
    async fn keep_up(&mut self) -> Result<Duration, Fault> {
        self.begin_handed();
        self.renew().await?;
        self.give_back().await?;
        let now = Instant::now();
        if now < self.look_at {
            return Ok(self.look_at - now);
        }
        let look = self.claim().await?;
        self.parts.health.ready();
        if !look.is_full {
            self.look_at = Instant::now() + self.parts.policy.poll;
        }
        Ok(if look.is_part && look.is_full { Duration::ZERO } else { self.parts.policy.poll })
    }

    /// Claims the due jobs, performs all of them and those that were handed over, settles all
    /// outcomes.
    pub async fn step(&mut self) -> Result<WorkerStep, Fault> {
        let handed = self.begin_handed();
        let look = self.claim().await?;
        let more = if look.is_part && look.is_full { self.claim().await?.claimed } else { 0 };
        self.end_all(WorkerStep { claimed: look.claimed + more, handed, ..WorkerStep::default() })
            .await
    }

    /// The same without a look at the table: performs the jobs that were handed over by now.
    pub async fn step_handed(&mut self) -> Result<WorkerStep, Fault> {
        let handed = self.begin_handed();
        self.end_all(WorkerStep { handed, ..WorkerStep::default() }).await
    }

    async fn end_all(&mut self, begun: WorkerStep) -> Result<WorkerStep, Fault> {
        while !self.attempts.is_empty() {
            let judged = self.attempts.next().await;
            self.note(judged);
        }
        let AppliedOutcomes { done, gave_up, again, lost, .. } = self.settle().await?;
        self.give_back().await?;
        Ok(WorkerStep { done, gave_up, again, lost, ..begun })
    }

    fn lease(&self) -> Duration {
        self.leases.lease(self.parts.policy.attempt_limit)
    }

    /// Shows what is held to those who reserve slots.
    fn show_held(&self) {
        self.slots.hold(self.attempts.len(), self.outcomes.len());
    }

    /// Begins the jobs that were handed over by now; returns their number.
    fn begin_handed(&mut self) -> usize {
        let (lease, mut n) = (self.lease(), 0);
        while let Some(born) = self.handed.here() {
            self.attempts.begin_born(born, lease);
            n += 1;
        }
        n
    }

    /// Keeps the consequence of an attempt until it is settled.
    fn note(&mut self, judged: Option<JudgedAttempt<E::Done>>) {
        if let Some((leased, verdict)) = judged {
            self.outcomes.push(leased, verdict);
            self.show_held();
        }
    }

    /// Waits for more outcomes, as long as attempts are running and the batch is young.
    async fn gather(&mut self) {
        let lease = self.lease();
        let wait = self.waits.wait(Instant::now());
        let mut grown = std::pin::pin!(tokio::time::sleep(wait));
        while !self.attempts.is_empty() {
            tokio::select! {
                biased;
                judged = self.attempts.next() => self.note(judged),
                Some(born) = self.handed.next() => self.attempts.begin_born(born, lease),
                () = &mut grown => break,
            }
        }
        self.waits.note(self.outcomes.len(), Instant::now());
    }

    async fn settle(&mut self) -> Result<AppliedOutcomes, Fault> {
        let n = self.outcomes.len();
        if n == 0 {
            return Ok(AppliedOutcomes::default());
        }
        let settled = self.settle_all().await;
        self.show_held();
        let settled = settled?;
        metrics::histogram!("job_settle_batch_size", "kind" => E::KIND)
            .record(u32::try_from(n).unwrap_or(u32::MAX));
        for (how, n) in [("done", settled.done), ("gave up", settled.gave_up)] {
            metrics::counter!("job_ended_total", "kind" => E::KIND, "how" => how)
                .increment(n as u64);
        }
        if let Some(pause) = settled.shortest_pause {
            self.look_at = self.look_at.min(Instant::now() + pause);
        }
        Ok(settled)
    }

    /// Settles. Attempts end and what is handed over begins meanwhile.
    async fn settle_all(&mut self) -> Result<AppliedOutcomes, Fault> {
        let (lease, n) = (self.lease(), self.outcomes.len());
        let Self { parts, outcomes, handed, attempts, slots, .. } = self;
        let mut later = Vec::new();
        // Boxed: a transaction is a large future, and the future of a step would contain it.
        let mut settling = Box::pin(parts.settle(outcomes));
        let settled = loop {
            tokio::select! {
                settled = &mut settling => break settled,
                Some(born) = handed.next() => attempts.begin_born(born, lease),
                Some(judged) = attempts.next(), if !attempts.is_empty() => {
                    later.push(judged);
                    slots.hold(attempts.len(), n + later.len());
                }
            }
        };
        drop(settling);
        for judged in later {
            self.note(Some(judged));
        }
        settled
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
            while let Some(judged) = self.attempts.ended() {
                self.note(Some(judged));
            }
        }
    }

    /// Lets attempts end, aborts those that take too long, and settles the known outcomes. What is
    /// handed over meanwhile is given back.
    async fn finish(&mut self) {
        let limit = tokio::time::Instant::now() + self.stopping.attempts;
        self.slots.close();
        let mut is_open = true;
        while is_open || !self.attempts.is_empty() {
            tokio::select! {
                judged = self.attempts.next(), if !self.attempts.is_empty() => self.note(judged),
                born = self.handed.next(), if is_open => match born {
                    Some(born) => self.attempts.leave(born),
                    None => is_open = false,
                },
                () = tokio::time::sleep_until(limit) => break,
            }
        }
        // The outcome of aborted attempts is unknown; the next worker may claim them at once.
        self.attempts.abort();
        while !self.attempts.is_empty() {
            let judged = self.attempts.next().await;
            self.note(judged);
        }
        self.settle_until(tokio::time::sleep_until(limit)).await;
        if let Err(fault) = self.give_back().await {
            tracing::warn!(kind = E::KIND, error = fault::chain(&fault), "jobs keep their lease");
        }
    }

    fn complain(&self, fault: &Fault, what: &'static str) {
        self.parts.health.not_ready(what);
        tracing::warn!(kind = E::KIND, error = fault::chain(fault), "{what}");
    }
}
