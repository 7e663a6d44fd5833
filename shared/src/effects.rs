//! The effects of a decision beside its own rows: messages to send, jobs to do, jobs to stop.
//!
//! **Architecture invariant:** the code that decides returns the effects as data. Only the runtime
//! (consumer, batcher, jobs, sweeper) saves them, in the transaction of the decision, and wakes the
//! workers after the commit.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::{
    fault::Fault,
    jobs::queue::{self, JobKey, NewJob},
    message::OutgoingMessage,
    outbox,
};

/// Messages to send, jobs to do, jobs to stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionEffects {
    /// Messages to send, in this order.
    pub messages: Vec<OutgoingMessage>,
    /// Jobs to do after the transaction is committed.
    pub jobs: Vec<NewJob>,
    /// Jobs not to be done any more. A job that is being performed at this moment goes on.
    pub stopped: Vec<JobKey>,
}

impl DecisionEffects {
    /// Appends the effects of another decision, which come after these.
    pub fn extend(&mut self, more: Self) {
        more.stopped.into_iter().for_each(|key| self.stop(key));
        self.messages.extend(more.messages);
        self.jobs.extend(more.jobs);
    }

    /// Stops a job, even if an earlier decision of the same batch added the job: such a job is not
    /// stored yet, so stopping by key in the database would not find it.
    pub fn stop(&mut self, key: JobKey) {
        self.jobs.retain(|job| job.key != key);
        self.stopped.push(key);
    }

    /// Stores all effects as part of the caller's transaction.
    ///
    /// Must come last in a transaction: the rows that the messages are about are locked by then, so
    /// that the ids of one key rise in the order of the commits.
    pub async fn save(&self, conn: &mut PgConnection) -> Result<(), Fault> {
        queue::stop(conn, &self.stopped).await?;
        queue::append(conn, &self.jobs).await?;
        outbox::append(conn, &self.messages).await?;
        Ok(())
    }
}

/// Wakes the workers of this process. A wake-up carries no data and may be lost: workers also poll.
#[derive(Clone, Debug, Default)]
pub struct WorkerWakers {
    /// Wakes the relay, when the transaction wrote messages.
    pub relay: Arc<Notify>,
    /// Wakes the job workers, when the transaction wrote jobs.
    pub jobs: Arc<Notify>,
}

impl WorkerWakers {
    /// Wakes the workers that have work after the commit of `effects`.
    pub fn wake(&self, effects: &DecisionEffects) {
        if !effects.messages.is_empty() {
            self.relay.notify_one();
        }
        if !effects.jobs.is_empty() {
            self.jobs.notify_waiters();
        }
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
