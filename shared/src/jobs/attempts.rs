//! The attempts that a worker is making, each its own task, and the jobs that it is not to begin.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use super::{
    AttemptFailure, ClaimedJob, JobHandler, WorkerParts,
    failure_log::FailureLog,
    handover::BornJob,
    outcome::{self, AttemptVerdict, LeaseFence, LeasedJob, RetryRules},
    store::UnbegunJob,
};
use crate::{fault, message::TraceContext};

/// The result of an attempt, as its task returns it.
type JoinedAttempt<D> = Result<(Id, Result<D, AttemptFailure>), JoinError>;

/// The consequence of an attempt that has ended.
pub(super) type JudgedAttempt<D> = (LeasedJob, AttemptVerdict<D>);

/// The number of the attempt that a job is born with.
const FIRST_ATTEMPT: i32 = 1;

/// The attempts of one worker.
pub(super) struct RunningAttempts<E: JobHandler> {
    parts: Arc<WorkerParts<E>>,
    tasks: JoinSet<Result<E::Done, AttemptFailure>>,
    in_hand: HashMap<Id, LeasedJob>,
    complaints: FailureLog,
    /// Jobs that were born claimed and will not be begun under that claim.
    unbegun: Vec<UnbegunJob>,
}

impl<E: JobHandler> RunningAttempts<E> {
    /// Of a worker that has begun nothing yet.
    pub(super) fn of(parts: Arc<WorkerParts<E>>) -> Self {
        let (tasks, in_hand) = (JoinSet::new(), HashMap::new());
        Self { parts, tasks, in_hand, complaints: FailureLog::default(), unbegun: vec![] }
    }

    pub(super) fn len(&self) -> usize {
        self.in_hand.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// The jobs that are being attempted.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &LeasedJob> {
        self.in_hand.values()
    }

    pub(super) fn rules(&self) -> RetryRules<'_> {
        RetryRules { policy: &self.parts.policy, doubts: self.parts.effect.doubts() }
    }

    /// Begins a job that was born claimed under such a lease. One that was handed over late is not
    /// begun: before its attempt ends, its lease may.
    pub(super) fn begin_born(&mut self, born: BornJob, lease: Duration) {
        if born.reserved_at.elapsed() >= lease / 2 {
            self.leave(born);
            return;
        }
        let BornJob { key, payload, trace, created_at, reserved_at } = born;
        let job = ClaimedJob { key, payload, attempt: FIRST_ATTEMPT, in_doubt: false, trace };
        let fence = LeaseFence { attempt: FIRST_ATTEMPT, created_at };
        let limit = reserved_at + self.parts.policy.attempt_limit;
        self.begin(LeasedJob::new(job, fence, 0), limit);
    }

    /// Does not begin a job that was born claimed: it is to be given back.
    pub(super) fn leave(&mut self, born: BornJob) {
        self.unbegun.push(UnbegunJob { key: born.key, created_at: born.created_at });
    }

    /// The jobs that are to be given back.
    pub(super) fn unbegun(&mut self) -> &mut Vec<UnbegunJob> {
        &mut self.unbegun
    }

    /// Begins an attempt that was counted, and whose lease outlives `limit`.
    pub(super) fn begin(&mut self, leased: LeasedJob, limit: tokio::time::Instant) {
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
        let task = self.tasks.spawn(attempt.instrument(span));
        self.in_hand.insert(task.id(), leased);
    }

    /// Waits for an attempt to end, and judges it; none if none is running.
    pub(super) async fn next(&mut self) -> Option<JudgedAttempt<E::Done>> {
        let joined = self.tasks.join_next_with_id().await?;
        self.judge(joined)
    }

    /// An attempt that has ended by now.
    pub(super) fn ended(&mut self) -> Option<JudgedAttempt<E::Done>> {
        let joined = self.tasks.try_join_next_with_id()?;
        self.judge(joined)
    }

    /// Ends all attempts: their outcomes are unknown, unless they had ended already.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }

    fn judge(&mut self, joined: JoinedAttempt<E::Done>) -> Option<JudgedAttempt<E::Done>> {
        let (id, outcome) = match joined {
            Ok(ended) => ended,
            // The task panicked, or was aborted because the process stops.
            Err(error) => (error.id(), Err(AttemptFailure::InDoubt { source: error.into() })),
        };
        let leased = self.in_hand.remove(&id)?;
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
        Some((leased, verdict))
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
}
