//! The effects of a decision beside its own rows: messages to send, jobs to do, jobs to stop, and
//! what is counted once it is committed.
//!
//! **Architecture invariant:** the code that decides returns the effects as data. Only the runtime
//! (consumer, batcher, jobs, sweeper) saves them, in the transaction of the decision, and wakes the
//! workers after the commit.
//!
//! Metrics are updated at most once: if a process dies, or gives up waiting for an answer, between
//! a commit and the update, what was committed is not counted.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::{
    fault::Fault,
    jobs::{
        handover::WorkerRegistry,
        queue::{self, JobKey, NewJob, StoredJobs},
    },
    message::OutgoingMessage,
    outbox,
};

/// One update of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricUpdate {
    /// The metric's name, as it was described.
    pub name: &'static str,
    /// Its labels: names and values.
    pub labels: Vec<(&'static str, &'static str)>,
    /// What is added to or recorded by it.
    pub value: MetricValue,
}

/// The value of a [`MetricUpdate`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricValue {
    /// Added to a counter.
    Count(u64),
    /// Recorded by a histogram, in the unit of its name.
    Sample(f64),
}

impl MetricUpdate {
    /// One more for a counter.
    pub fn count(name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        Self { name, labels: labels.to_vec(), value: MetricValue::Count(1) }
    }

    /// A value for a histogram, in the unit of its name.
    pub fn sample(name: &'static str, labels: &[(&'static str, &'static str)], value: f64) -> Self {
        Self { name, labels: labels.to_vec(), value: MetricValue::Sample(value) }
    }

    fn apply(&self) {
        match self.value {
            MetricValue::Count(n) => metrics::counter!(self.name, &self.labels).increment(n),
            MetricValue::Sample(value) => {
                metrics::histogram!(self.name, &self.labels).record(value);
            }
        }
    }
}

/// Messages to send, jobs to do, jobs to stop, metrics to update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionEffects {
    /// Messages to send, in this order.
    pub messages: Vec<OutgoingMessage>,
    /// Jobs to do after the transaction is committed.
    pub jobs: Vec<NewJob>,
    /// Jobs not to be done any more. A job that is being performed at this moment goes on.
    pub stopped: Vec<JobKey>,
    /// Metrics to update after the commit: a transaction that is rolled back counts nothing.
    pub metrics: Vec<MetricUpdate>,
}

impl DecisionEffects {
    /// Appends the effects of another decision, which come after these.
    pub fn extend(&mut self, more: Self) {
        more.stopped.into_iter().for_each(|key| self.stop(key));
        self.messages.extend(more.messages);
        self.jobs.extend(more.jobs);
        self.metrics.extend(more.metrics);
    }

    /// Stops a job, even if an earlier decision of the same batch added the job: such a job is not
    /// stored yet, so stopping by key in the database would not find it.
    pub fn stop(&mut self, key: JobKey) {
        self.jobs.retain(|job| job.key != key);
        self.stopped.push(key);
    }

    /// Stores messages and jobs as part of the caller's transaction. What this returns is for
    /// [`WorkerWakers::after_commit`]; dropped, the slots that it holds are free again.
    ///
    /// Must come last in a transaction: the rows that the messages are about are locked by then, so
    /// that the ids of one key rise in the order of the commits.
    pub async fn save(
        self,
        conn: &mut PgConnection,
        wakers: &WorkerWakers,
    ) -> Result<SavedEffects, Fault> {
        queue::stop(conn, &self.stopped).await?;
        let jobs = queue::store(conn, self.jobs, &wakers.jobs).await?;
        outbox::append(conn, &self.messages).await?;
        Ok(SavedEffects { has_messages: !self.messages.is_empty(), jobs, metrics: self.metrics })
    }
}

/// Effects that are stored by a transaction, until it is committed.
#[derive(Debug, Default)]
#[must_use = "jobs that were born claimed begin after the commit, or when their lease has ended"]
pub struct SavedEffects {
    has_messages: bool,
    jobs: StoredJobs,
    metrics: Vec<MetricUpdate>,
}

/// Reaches the workers of this process. A wake-up carries no data and may be lost: workers also
/// poll. A job that is handed over may be lost as well: its row has a lease.
#[derive(Clone, Debug, Default)]
pub struct WorkerWakers {
    /// Wakes the relay, when the transaction wrote messages.
    pub relay: Arc<Notify>,
    /// The job workers, which are handed jobs or woken, when the transaction wrote jobs.
    pub jobs: WorkerRegistry,
}

impl WorkerWakers {
    /// After the commit of `saved`: updates the metrics, hands over the jobs that were born
    /// claimed, and wakes the workers that have other work.
    pub fn after_commit(&self, saved: SavedEffects) {
        saved.metrics.iter().for_each(MetricUpdate::apply);
        if saved.has_messages {
            self.relay.notify_one();
        }
        saved.jobs.hand_over(&self.jobs);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn key(name: &str) -> JobKey {
        JobKey { kind: "a-kind", key: name.to_owned() }
    }

    fn job(name: &str) -> NewJob {
        NewJob { key: key(name), payload: Value::Null, trace: None }
    }

    #[test]
    fn a_job_that_is_stopped_in_the_batch_that_wants_it_is_not_kept() {
        let mut effects =
            DecisionEffects { jobs: vec![job("one"), job("two")], ..DecisionEffects::default() };
        effects.extend(DecisionEffects { stopped: vec![key("one")], ..DecisionEffects::default() });
        assert_eq!(effects.jobs, [job("two")]);
        assert_eq!(effects.stopped, [key("one")]);
    }

    #[test]
    fn a_job_that_is_wanted_again_after_it_was_stopped_is_kept() {
        let mut effects =
            DecisionEffects { stopped: vec![key("one")], ..DecisionEffects::default() };
        effects.extend(DecisionEffects { jobs: vec![job("one")], ..DecisionEffects::default() });
        assert_eq!(effects.jobs, [job("one")]);
    }
}
