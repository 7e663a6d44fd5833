//! Durable work on the outside world: what cannot be part of a transaction.
//!
//! The transaction that decides also writes the job. A worker claims due jobs under a lease,
//! performs them at the same time with a stable key, and brings the results home in one batch
//! through the same road as every command.
//!
//! **Architecture invariant:** an attempt is counted and committed before it is made. So "without
//! effect" is a fact, and a worker that dies in the middle leaves an attempt whose outcome is open,
//! never one that is forgotten.
//!
//! ```text
//! waiting ──claim (attempt + 1, lease)──> performing ──done──> (row gone, settle)
//!    ^                                       │  └──final, or attempts used up──> dead (settle)
//!    ├───── refused, unknown (in doubt) ─────┤
//!    └── the lease ran out (in doubt) ───────┘
//! ```
//!
//! A lease is short and renewed for as long as its attempt goes on, so that an attempt may take an hour, and what a
//! crashed process held is free soon ([`Leases`]).
//!
//! An attempt whose outcome stays open may have had its effect. Where the far side knows a repeat by the
//! job's key, trying again is harmless. Where it does not (mail), the effect says how many such attempts there
//! may be ([`Effect::doubts`]); after the last one the job is given up, in doubt, for a person to decide.
//!
//! A job that is stopped is gone at once, or, if it is performed at that moment, as soon as the
//! attempt has failed or its lease has run out: it is not attempted again. Only *done* is still
//! brought home.
//!
//! **Architecture invariant:** an outcome counts for the attempt that it belongs to. If the lease ran
//! out and somebody else claimed the job, the outcome is dropped, because the other attempt carries
//! the same key and will learn the same. One outcome counts from whoever learns it: *done* is a fact
//! that no later attempt can undo, so it ends the job as long as the job is there. Each job ends
//! once, because ending it takes its row away in the transaction that settles.
//!
//! A dead job is a dead letter like a message that cannot be taken in: an operator puts it back, with
//! fresh attempts and another life of its name, or ends it. Whether it may be tried again or ended is
//! the effect's word ([`Effect::never_again`], [`Effect::still_needed`]): what was given up may have
//! been made up for meanwhile, or somebody may wait for its outcome to this day.
//!
//! **Architecture invariant:** whoever settles locks in one order: what the effect settles first,
//! the job's row last, as a decision does that stops or looks at a job.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::{
    backoff::BackoffSchedule,
    effects::{DecisionEffects, WorkerWakers},
    fault::{Fault, FaultSource},
    health::HealthComponent,
    message::TraceParent,
};

pub use self::{
    job_sampler::JobSampler,
    leases::LeaseTimes,
    queue::{JobKey, NewJob, append, lock_untouched, stop},
    worker::{JobWorker, StopGrace, WorkerStep},
};

mod due_floor;
mod failure_log;
mod job_sampler;
mod leases;
mod outcome;
pub(crate) mod queue;
mod retry_dead;
mod settle;
mod store;
mod worker;

/// A job in a worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// For whom.
    pub key: String,
    /// What the worker needs to know.
    pub payload: Value,
    /// Which attempt this is, counted from 1.
    pub attempt: i32,
    /// Whether an earlier attempt ended with its outcome open.
    pub in_doubt: bool,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// Why an attempt did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptFailure {
    /// The outside refused this attempt for sure, or could not be reached at all: nothing happened.
    #[error("the attempt failed and had no effect")]
    NoEffect {
        /// What it said.
        #[source]
        source: FaultSource,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Nobody knows whether it happened: to be tried again with the same key.
    #[error("the attempt's outcome is unknown")]
    InDoubt {
        /// What went wrong.
        #[source]
        source: FaultSource,
    },
    /// Trying again cannot help.
    #[error("the attempt can never succeed")]
    Permanent {
        /// Why.
        #[source]
        source: FaultSource,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum JobResult<D> {
    /// It was done.
    Done(D),
    /// It was given up.
    GaveUp {
        /// Whether an attempt's outcome is still open: it may have happened.
        in_doubt: bool,
        /// The last failure.
        reason: String,
    },
}

/// How many attempts of a job may end with their outcome open, where each of them may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubtLimit {
    /// So many; with the last one the job is given up. At least 1.
    pub max: u32,
    /// The next attempt waits this long after the first of them, and [`Doubts::FACTOR`] times longer after each
    /// further one; never longer than the cap of the policy's backoff.
    pub pause: Duration,
}

impl DoubtLimit {
    /// By how much the wait grows.
    pub const FACTOR: u32 = 5;

    /// The wait after so many of them, counted from 1.
    pub fn pause_after(&self, doubts: u32) -> Duration {
        self.pause.saturating_mul(Self::FACTOR.saturating_pow(doubts.saturating_sub(1)))
    }
}

/// What a kind of job does.
pub trait JobHandler: Send + Sync + 'static {
    /// Its kind.
    const KIND: &'static str;
    /// What is known once it is done.
    type Done: Send + Sync + 'static;

    /// How many more may be begun now. What holds all of them back, such as a far side that is known
    /// to be away, is asked before an attempt is counted: jobs that wait for it use up no attempts.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// How many attempts may end with their outcome open. None: any of them, because the far side knows a repeat
    /// by its key.
    fn doubts(&self) -> Option<DoubtLimit> {
        None
    }

    /// Does it. Must carry the job's key to the outside, so that twice is once.
    fn perform(
        &self,
        job: &ClaimedJob,
    ) -> impl Future<Output = Result<Self::Done, AttemptFailure>> + Send;

    /// Brings the results home, within the transaction that also ends the jobs.
    fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<Self::Done>)],
    ) -> impl Future<Output = Result<DecisionEffects, Fault>> + Send;

    /// Why a job that was given up may not be ended, if it may not: because somebody still waits for
    /// its outcome and nothing else will bring it. What is looked at has to stay so until the
    /// transaction ends.
    fn still_needed(
        &self,
        _conn: &mut PgConnection,
        _key: &str,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        std::future::ready(Ok(None))
    }

    /// Why a job that was given up may not be tried again, if it may not: because giving up was
    /// told to others, who have acted upon it. What is looked at has to stay so until the
    /// transaction ends.
    fn never_again(
        &self,
        _conn: &mut PgConnection,
        _key: &str,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send {
        std::future::ready(Ok(None))
    }
}

/// How a kind of job is worked on.
#[derive(Clone, Debug)]
pub struct JobPolicy {
    /// Waits between attempts.
    pub backoff: BackoffSchedule,
    /// Given up after so many attempts; never, if none.
    pub attempts_max: Option<u32>,
    /// One attempt may take this long; its lease is renewed meanwhile.
    pub attempt_limit: Duration,
    /// Performed at the same time, at most.
    pub concurrency_max: usize,
    /// Looks for due jobs at least this often.
    pub poll: Duration,
}

/// What a worker works with.
#[derive(Clone, Debug)]
pub struct WorkerParts<E> {
    /// The service's name: the prefix of its dead-letter topic.
    pub service: &'static str,
    /// What it does.
    pub effect: E,
    /// How.
    pub policy: JobPolicy,
    /// Its database.
    pub pool: PgPool,
    /// Who wakes it, and whom it wakes.
    pub wakers: WorkerWakers,
    /// Its word in the process's health.
    pub health: HealthComponent,
}
