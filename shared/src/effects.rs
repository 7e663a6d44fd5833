//! What a decision wants done beside its own rows: messages to say, jobs to do, jobs to stop.
//!
//! **Architecture invariant:** whoever decides returns this as data. Only the roads (consumer,
//! intake, jobs, sweeper) save it, in the transaction of the decision, and wake the workers after
//! the commit.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::{
    fault::Fault,
    jobs::{self, JobKey, NewJob},
    message::Outgoing,
    outbox,
};

/// Messages to say, jobs to do, jobs to stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// To be said, in this order.
    pub messages: Vec<Outgoing>,
    /// To be done once this is committed.
    pub jobs: Vec<NewJob>,
    /// Not to be done any more. A job that is being performed at this moment goes on.
    pub stopped: Vec<JobKey>,
}

impl Effects {
    /// Takes in what another decision wants done, after this.
    pub fn extend(&mut self, more: Self) {
        self.messages.extend(more.messages);
        self.jobs.extend(more.jobs);
        self.stopped.extend(more.stopped);
    }

    /// Keeps all of it as part of the caller's transaction.
    ///
    /// Comes last in a transaction: the rows that the messages speak of are locked by then, so
    /// that the ids of one key rise in the order of the commits.
    pub async fn save(&self, conn: &mut PgConnection) -> Result<(), Fault> {
        jobs::stop(conn, &self.stopped).await?;
        jobs::append(conn, &self.jobs).await?;
        outbox::append(conn, &self.messages).await?;
        Ok(())
    }
}

/// Wakes the workers of this process. A wake-up carries no data and may be lost: they also poll.
#[derive(Clone, Debug, Default)]
pub struct Wakers {
    /// Wakes the relay.
    pub relay: Arc<Notify>,
    /// Wakes those who do jobs.
    pub jobs: Arc<Notify>,
}

impl Wakers {
    /// Wakes whoever has work after the commit of `effects`.
    pub fn wake(&self, effects: &Effects) {
        if !effects.messages.is_empty() {
            self.relay.notify_one();
        }
        if !effects.jobs.is_empty() {
            self.jobs.notify_waiters();
        }
    }
}
