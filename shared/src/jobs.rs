//! Durable jobs: calls to external systems, which cannot be part of a transaction.
//!
//! The transaction that decides also writes the job. A worker of the same process that has room is
//! handed the job, which is then born claimed ([`handover`]); other jobs wait, and a worker claims
//! them when they are due. It performs jobs concurrently, each with a stable key, and settles the
//! results in one batch: one transaction, with its effects saved as for every command.
//!
//! **Architecture invariant:** an attempt is counted and committed before it is made. So "without
//! effect" is certain, and a worker that dies in the middle leaves an attempt with an unknown
//! outcome, never an attempt that is not recorded.
//!
//! ```text
//!                        born claimed ────────┐
//! waiting ──claim (attempt + 1, lease)──> performing ──done──> (row gone, settle)
//!    ^                                       │  └──final, or attempts used up──> dead (settle)
//!    ├───── refused, unknown (in doubt) ─────┤
//!    └── the lease ran out (in doubt) ───────┘
//! ```
//!
//! A lease is short and is renewed while its attempt runs, so an attempt may take an hour, and a
//! job that a crashed process held is free soon ([`LeaseTimes`]).
//!
//! An attempt with an unknown outcome may have had its effect. If the external system detects
//! repeats by the job's key, a retry is harmless. If not (mail), the handler limits such attempts
//! ([`JobHandler::doubts`]); after the last one the job is given up, in doubt, for an operator.
//!
//! A stopped job is deleted at once or, if an attempt is running, as soon as the attempt has failed
//! or its lease has run out: the job is not attempted again. Only the outcome *done* still settles.
//!
//! **Architecture invariant:** an outcome counts only for its own attempt. If the lease ran out and
//! another worker claimed the job, the outcome is dropped, because the other attempt carries the
//! same key and will get the same outcome. The exception is *done*, which counts from any attempt:
//! no later attempt can undo it, so it ends the job as long as the job's row exists. Each job ends
//! once, because the transaction that settles also deletes the row.
//!
//! A dead job is a dead letter, like a message that cannot be processed: an operator puts the job
//! back, with a new count of attempts and another life of its name, or ends it. The handler may
//! forbid a retry or an end ([`JobHandler::never_again`], [`JobHandler::still_needed`]): the job
//! may have been compensated meanwhile, or another party may still wait for its outcome.
//!
//! **Architecture invariant:** code that settles takes locks in one order: first the rows that the
//! handler settles, last the job's row. A decision that stops or reads a job uses the same order.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::{
    backoff::BackoffSchedule,
    effects::{DecisionEffects, WorkerWakers},
    fault::{Fault, FaultSource},
    health::HealthComponent,
    message::TraceContext,
};

pub use self::{
    handover::WorkerRegistry,
    job_sampler::JobSampler,
    leases::LeaseTimes,
    queue::{JobKey, NewJob, append, lock_untouched, stop},
    worker::{JobWorker, StopGrace, WorkerStep},
};

mod attempts;
mod due_floor;
mod failure_log;
pub(crate) mod handover;
mod job_sampler;
mod leases;
mod outcome;
pub(crate) mod queue;
mod retry_dead;
mod settle;
mod store;
mod worker;

/// A job that a worker has claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The aggregate that the job belongs to; unique per kind.
    pub key: String,
    /// The data that the handler needs for the job.
    pub payload: Value,
    /// Which attempt this is, counted from 1.
    pub attempt: i32,
    /// Whether an earlier attempt ended with an unknown outcome.
    pub in_doubt: bool,
    /// The trace that the job belongs to.
    pub trace: Option<TraceContext>,
}

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    /// The external system refused this attempt or could not be reached at all: nothing happened.
    #[error("the attempt failed and had no effect")]
    NoEffect {
        /// The external system's answer, or the failure to reach it.
        #[source]
        source: FaultSource,
        /// How long the external system asks to wait before a retry.
        retry_after: Option<Duration>,
    },
    /// Whether the attempt had its effect is unknown: to be tried again with the same key.
    #[error("the attempt's outcome is unknown")]
    InDoubt {
        /// The failure of the attempt.
        #[source]
        source: FaultSource,
    },
    /// Trying again cannot help.
    #[error("the attempt can never succeed")]
    Permanent {
        /// The failure that makes further attempts useless.
        #[source]
        source: FaultSource,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobResult<D> {
    /// The work is done, with this result.
    Done(D),
    /// The job was given up.
    GaveUp {
        /// Whether the outcome of an attempt is unknown: it may have had its effect.
        in_doubt: bool,
        /// The failure of the last attempt, for an operator.
        reason: String,
    },
}

/// How many attempts of a job may end with an unknown outcome; each may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubtLimit {
    /// The number of such attempts; with the last one the job is given up. At least 1.
    pub max: u32,
    /// The wait after the first such attempt; [`DoubtLimit::FACTOR`] times longer after each
    /// further one; never longer than the cap of the policy's backoff.
    pub pause: Duration,
}

impl DoubtLimit {
    /// The factor by which the wait grows.
    pub(crate) const FACTOR: u32 = 5;

    /// The wait after this number of such attempts, counted from 1.
    pub fn pause_after(&self, doubts: u32) -> Duration {
        self.pause.saturating_mul(Self::FACTOR.saturating_pow(doubts.saturating_sub(1)))
    }
}

/// The work of one kind of job.
pub trait JobHandler: Send + Sync + 'static {
    /// The kind's stable name, as stored and as a metric's label.
    const KIND: &'static str;
    /// The result of a job that is done.
    type Done: Send + Sync + 'static;

    /// How many more jobs may begin now. A reason that blocks all jobs, such as an unavailable
    /// external system, is checked before an attempt is counted: waiting jobs use up no attempts.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// How many attempts may end with an unknown outcome. None: no limit, because the external
    /// system detects a repeat by its key.
    fn doubts(&self) -> Option<DoubtLimit> {
        None
    }

    /// Performs the job. Must send the job's key to the external system, so that a repeat has no
    /// second effect.
    fn perform(
        &self,
        job: &ClaimedJob,
    ) -> impl Future<Output = Result<Self::Done, AttemptFailure>> + Send;

    /// Settles the results, within the transaction that also ends the jobs.
    fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<Self::Done>)],
    ) -> impl Future<Output = Result<DecisionEffects, Fault>> + Send;

    /// The reason why a job that was given up may not be ended, if there is one: another party
    /// still waits for the outcome, and nothing else will deliver it. The rows that this function
    /// reads must not change until the transaction ends.
    fn still_needed(
        &self,
        _conn: &mut PgConnection,
        _key: &str,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        std::future::ready(Ok(None))
    }

    /// The reason why a job that was given up may not be tried again, if there is one: others were
    /// told of the failure and have acted upon it. The rows that this function reads must not
    /// change until the transaction ends.
    fn never_again(
        &self,
        _conn: &mut PgConnection,
        _key: &str,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        std::future::ready(Ok(None))
    }
}

/// The limits and waits for one kind of job.
#[derive(Clone, Debug)]
pub struct JobPolicy {
    /// The waits between the attempts of one job.
    pub backoff: BackoffSchedule,
    /// The number of attempts after which a job is given up; never, if none.
    pub attempts_max: Option<u32>,
    /// How long one attempt may take; its lease is renewed meanwhile.
    pub attempt_limit: Duration,
    /// The highest number of jobs that are performed at the same time.
    pub concurrency_max: usize,
    /// The longest time between two looks for due jobs.
    pub poll: Duration,
}

/// The parts that a job worker is made of.
#[derive(Clone, Debug)]
pub struct WorkerParts<E> {
    /// The service's name: the prefix of its dead-letter topic.
    pub service: &'static str,
    /// The handler: performs jobs and settles their results.
    pub effect: E,
    /// The limits of attempts, leases and waits.
    pub policy: JobPolicy,
    /// The database that holds the queue.
    pub pool: PgPool,
    /// The handles that wake this worker, and by which it wakes the relay.
    pub wakers: WorkerWakers,
    /// The worker's component in the process's health.
    pub health: HealthComponent,
}
