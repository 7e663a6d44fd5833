//! The consequence of an attempt: pure functions.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use time::OffsetDateTime;

use super::{AttemptFailure, ClaimedJob, DoubtLimit, JobPolicy, JobResult};
use crate::{
    fault,
    message::TraceParent,
    telemetry::spans::{self, FinishedSpan, KeyValue, Kind},
};

/// A job under this worker's lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LeasedJob {
    pub(super) job: ClaimedJob,
    pub(super) fence: LeaseFence,
    /// Earlier attempts of this life whose outcome stayed open.
    pub(super) doubts: u32,
    /// The trace of the decision that made the job; the job's own trace is that of this attempt.
    pub(super) decided: Option<TraceParent>,
    /// When this attempt began.
    pub(super) began: SystemTime,
}

impl LeasedJob {
    /// A job that was claimed. Spans that follow from this attempt belong to its own span.
    pub(super) fn new(mut job: ClaimedJob, fence: LeaseFence, doubts: u32) -> Self {
        let decided = job.trace.as_ref().map(|trace| trace.parent);
        job.trace = job.trace.map(|trace| trace.at(spans::under(trace.parent)));
        Self { job, fence, doubts, decided, began: spans::now() }
    }

    /// Records the attempt as a span.
    pub(super) fn record(&self, kind: &'static str, outcome: &'static str, error: Option<String>) {
        let own = self.job.trace.as_ref().map(|trace| trace.parent);
        let Some(own) = own.filter(|trace_parent| spans::wanted(*trace_parent)) else { return };
        spans::record(FinishedSpan {
            own,
            parent: self.decided,
            kind: Kind::Internal,
            name: format!("job {kind}").into(),
            began: self.began,
            ended: spans::now(),
            attributes: vec![
                KeyValue::new("job.kind", kind),
                KeyValue::new("job.key", self.job.key.clone()),
                KeyValue::new("job.attempt", i64::from(self.job.attempt)),
                KeyValue::new("job.outcome", outcome),
            ],
            error,
        });
    }
}

/// The fence of the row: this attempt of this life of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseFence {
    pub(super) attempt: i32,
    pub(super) created_at: OffsetDateTime,
}

/// The current state of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CurrentRow {
    pub(super) fence: LeaseFence,
    pub(super) performing: bool,
}

/// The next state of a row that stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobRetry {
    pub(super) key: String,
    pub(super) fence: LeaseFence,
    pub(super) next: NextAttempt,
    pub(super) in_doubt: bool,
    /// Whether this attempt's own outcome is open.
    pub(super) open: bool,
    pub(super) error: String,
}

/// The due time of its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAttempt {
    /// The job runs again after this long.
    In(Duration),
    /// The job never runs again by itself.
    Dead,
}

/// The consequence of an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum AttemptVerdict<D> {
    /// The job has ended.
    Ended(JobResult<D>),
    /// The job is tried again. Unknown outcome: `open` of this attempt, `in_doubt` of any so far.
    Again { delay: Duration, in_doubt: bool, open: bool, error: String },
}

/// The limits by which attempts are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryRules<'p> {
    pub(super) policy: &'p JobPolicy,
    pub(super) doubts: Option<DoubtLimit>,
}

impl RetryRules<'_> {
    fn enough(&self, doubts: u32) -> bool {
        self.doubts.is_some_and(|doubt_limit| doubts >= doubt_limit.max)
    }
}

/// Why an attempt is one too many, if it is: earlier ones ended with the worker that made them.
pub(super) fn used_up(rules: RetryRules<'_>, job: &ClaimedJob, doubts: u32) -> Option<String> {
    if rules.policy.attempts_max.is_some_and(|most| i64::from(job.attempt) > i64::from(most)) {
        return Some("no attempt ended".to_owned());
    }
    rules.enough(doubts).then(|| format!("the outcome of {doubts} attempts stayed open"))
}

/// Judges an attempt. `doubts` attempts before it ended with their outcome open.
pub(super) fn judge<D>(
    rules: RetryRules<'_>,
    job: &ClaimedJob,
    doubts: u32,
    outcome: Result<D, AttemptFailure>,
) -> AttemptVerdict<D> {
    let policy = rules.policy;
    let failure = match outcome {
        Ok(done) => return AttemptVerdict::Ended(JobResult::Done(done)),
        Err(failure) => failure,
    };
    let reason = fault::chain(&failure);
    let (open, retry_after) = match failure {
        AttemptFailure::NoEffect { retry_after, .. } => (false, retry_after),
        AttemptFailure::InDoubt { .. } => {
            (true, rules.doubts.map(|doubt_limit| doubt_limit.pause_after(doubts + 1)))
        }
        AttemptFailure::Permanent { .. } => {
            return AttemptVerdict::Ended(JobResult::GaveUp { in_doubt: job.in_doubt, reason });
        }
    };
    let in_doubt = job.in_doubt || open;
    let last = policy.attempts_max.is_some_and(|most| i64::from(job.attempt) >= i64::from(most));
    if last || (open && rules.enough(doubts + 1)) {
        return AttemptVerdict::Ended(JobResult::GaveUp { in_doubt, reason });
    }
    let delay = delay(policy, job.attempt, retry_after);
    AttemptVerdict::Again { delay, in_doubt, open, error: reason }
}

/// The wait after an attempt, with jitter. A wait in the answer is honoured up to the cap.
pub(super) fn delay(policy: &JobPolicy, attempt: i32, retry_after: Option<Duration>) -> Duration {
    let failures = u32::try_from(attempt - 1).unwrap_or(0);
    let jitter = policy.backoff.delay(failures);
    let asked = retry_after.unwrap_or_default();
    asked.saturating_add(jitter).min(policy.backoff.cap)
}

/// The known outcomes that are not settled yet.
#[derive(Debug)]
pub(super) struct PendingOutcomes<D> {
    /// Jobs that have ended.
    pub(super) ended: Vec<(ClaimedJob, JobResult<D>)>,
    /// Their fences, in the same order.
    pub(super) fences: Vec<LeaseFence>,
    /// Jobs that stay, waiting or dead.
    pub(super) stays: Vec<JobRetry>,
}

impl<D> Default for PendingOutcomes<D> {
    fn default() -> Self {
        Self { ended: vec![], fences: vec![], stays: vec![] }
    }
}

impl<D> PendingOutcomes<D> {
    pub(super) fn len(&self) -> usize {
        self.ended.len() + self.stays.len()
    }

    pub(super) fn push(&mut self, leased: LeasedJob, verdict: AttemptVerdict<D>) {
        let LeasedJob { job, fence, .. } = leased;
        match verdict {
            AttemptVerdict::Ended(ended) => {
                self.ended.push((job, ended));
                self.fences.push(fence);
            }
            AttemptVerdict::Again { delay, in_doubt, open, error } => {
                let next = NextAttempt::In(delay);
                self.stays.push(JobRetry { key: job.key, fence, next, in_doubt, open, error });
            }
        }
    }

    /// The keys of all these outcomes.
    pub(super) fn keys(&self) -> Vec<&str> {
        let ended = self.ended.iter().map(|(job, _)| job.key.as_str());
        ended.chain(self.stays.iter().map(|job_retry| job_retry.key.as_str())).collect()
    }

    /// The leases of all these outcomes, and of the attempts that are still running.
    pub(super) fn held_with<'h>(
        &'h self,
        performed: impl Iterator<Item = &'h LeasedJob>,
    ) -> Vec<(&'h str, LeaseFence)> {
        let performed = performed.map(|job| (job.job.key.as_str(), job.fence));
        let ended = self.ended.iter().map(|(job, _)| job.key.as_str());
        let stays = self.stays.iter().map(|job_retry| (job_retry.key.as_str(), job_retry.fence));
        performed.chain(ended.zip(self.fences.iter().copied())).chain(stays).collect()
    }

    /// Drops the last of those that have ended.
    pub(super) fn drop_last(&mut self) {
        self.ended.pop();
        self.fences.pop();
    }

    /// Turns the last of the ended jobs into one that stays, because its end cannot be settled: a
    /// done job is tried again (the same key, so it is done once), a given-up one is dead.
    pub(super) fn hold_last(&mut self, delay: Duration, error: String) {
        let (Some((job, ended)), Some(fence)) = (self.ended.pop(), self.fences.pop()) else {
            return;
        };
        let (next, in_doubt, open) = match ended {
            JobResult::Done(_) => (NextAttempt::In(delay), true, true),
            JobResult::GaveUp { in_doubt, .. } => (NextAttempt::Dead, in_doubt, false),
        };
        self.stays.push(JobRetry { key: job.key, fence, next, in_doubt, open, error });
    }

    /// Keeps the outcomes that still count, given the current rows.
    pub(super) fn keep_those_of(&mut self, present: &HashMap<String, CurrentRow>) {
        let ours = |key: &str, fence: LeaseFence| {
            present.get(key).is_some_and(|row| row.performing && row.fence == fence)
        };
        let ended = std::mem::take(&mut self.ended);
        let fences = std::mem::take(&mut self.fences);
        for ((job, ended), fence) in ended.into_iter().zip(fences) {
            // A done job counts from any attempt, for the row as it is.
            let now = present.get(&job.key).map(|row| row.fence);
            let same_life = now.filter(|lease_fence| lease_fence.created_at == fence.created_at);
            let fence = match (&ended, same_life) {
                (JobResult::Done(_), Some(now)) => now,
                (JobResult::GaveUp { .. }, _) if ours(&job.key, fence) => fence,
                _ => continue,
            };
            self.ended.push((job, ended));
            self.fences.push(fence);
        }
        self.stays.retain(|job_retry| ours(&job_retry.key, job_retry.fence));
    }
}

#[cfg(test)]
mod tests;
