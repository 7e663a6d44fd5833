//! Admission control: new commands are refused while the outbox does not drain.
//!
//! Every command that a batcher accepts leaves again through the outbox. If the outbox does not
//! drain, because the broker is away or slower than the writers, more commands would only wait
//! longer. So a [`BacklogWatcher`] samples the outbox at intervals and shuts the [`AdmissionGate`]
//! that all batchers check: they refuse at once, with a time to retry. Nothing waits in memory.
//!
//! ```text
//!           messages or age above their limit
//!   open ──────────────────────────────────────> shut
//!     ^        both at half of it or below         │
//!     └────────────────────────────────────────────┘
//! ```
//!
//! The two thresholds differ, so that the gate does not flap. Between two samples the batchers
//! accept without this check: the limit is not exact to the message. Commands that wait for a
//! batcher are bounded by its queue.
//!
//! Messages that wait because their topic is held ([`crate::relay`]) do not count for the age:
//! refusing requests would not unblock the topic. They count as messages, so they are bounded.
//!
//! **Architecture invariant:** a sample is one bounded statement per interval, whatever the number
//! of requests. Accepted work is still carried out: consumers, jobs and the relay do not check the
//! gate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    db, fault,
    health::HealthComponent,
    lifecycle::{InfallibleResult, RepeatedSteps},
    outbox::{self, OutboxBacklog},
};

/// The limits at which the gate shuts, and how often they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Messages that may wait in the outbox.
    pub messages_max: u32,
    /// How long the oldest of them may have waited.
    pub age_max: Duration,
    /// The interval between two samples of the outbox.
    pub look_every: Duration,
    /// The longest time after which a refused caller is told to retry.
    pub retry_after: Duration,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            messages_max: 20_000,
            age_max: Duration::from_secs(30),
            look_every: Duration::from_millis(500),
            retry_after: Duration::from_secs(5),
        }
    }
}

impl AdmissionSettings {
    /// Whether the gate is to be open, given the backlog and whether the gate is open now.
    fn opens(&self, backlog: &OutboxBacklog, is_open: bool) -> bool {
        let share = if is_open { 1 } else { 2 };
        backlog.messages <= u64::from(self.messages_max / share)
            && backlog.age <= self.age_max / share
    }
}

/// Whether new commands are accepted. Clones are the same gate; a gate without a watcher is open.
#[derive(Clone, Debug, Default)]
pub struct AdmissionGate {
    shut: Arc<AtomicBool>,
    retry_after: Duration,
}

impl AdmissionGate {
    /// When to retry, if the gate is shut. Callers that are refused at the same time get different
    /// times.
    pub fn refuses(&self) -> Option<Duration> {
        self.shut
            .load(Ordering::Relaxed)
            .then(|| self.retry_after.mul_f64(0.5 + 0.5 * fastrand::f64()))
    }
}

/// Samples the outbox, and opens and shuts the gate.
#[derive(Debug)]
pub struct BacklogWatcher {
    pool: PgPool,
    settings: AdmissionSettings,
    health: HealthComponent,
    gate: AdmissionGate,
}

/// The time limit of one sample.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

impl BacklogWatcher {
    /// A watcher of this database's outbox, whose gate is open.
    pub fn new(pool: PgPool, settings: AdmissionSettings, health: HealthComponent) -> Self {
        metrics::describe_gauge!(
            "admission_open",
            "Whether requests that change something are let in: 1, or 0 while too much waits."
        );
        metrics::describe_gauge!(
            "outbox_messages",
            "Messages that wait to be published, counted up to one more than may wait."
        );
        metrics::describe_gauge!(
            "outbox_age_seconds",
            "How long the oldest message in the outbox has waited, but for those of held topics."
        );
        metrics::gauge!("admission_open").set(1);
        health.ready();
        let gate = AdmissionGate { shut: Arc::default(), retry_after: settings.retry_after };
        Self { pool, settings, health, gate }
    }

    /// The gate, for the code that accepts commands.
    pub fn gate(&self) -> AdmissionGate {
        self.gate.clone()
    }

    /// Samples until told to stop. While the database is out of reach, the gate stays as it is: the
    /// batchers detect the outage by themselves.
    pub async fn run(self, stop: CancellationToken) -> InfallibleResult {
        let mut steps = RepeatedSteps::until(stop);
        while let Some(looked) = steps.next(self.step()).await {
            if let Err(error) = looked {
                tracing::warn!(error = fault::chain(&error), "the outbox cannot be looked at");
            }
            steps.pause(self.settings.look_every);
        }
        Ok(())
    }

    /// Samples the outbox's backlog once and updates the decision for new requests.
    pub async fn step(&self) -> Result<OutboxBacklog, sqlx::Error> {
        let n_max = i64::from(self.settings.messages_max) + 1;
        let look = async |conn: &mut _| outbox::backlog(conn, n_max).await;
        // Boxed: opening a connection is a large future.
        let backlog = Box::pin(db::read(&self.pool, LOOK_LIMIT, look)).await?;
        self.judge(&backlog);
        Ok(backlog)
    }

    fn judge(&self, backlog: &OutboxBacklog) {
        let was_open = !self.gate.shut.load(Ordering::Relaxed);
        let is_open = self.settings.opens(backlog, was_open);
        self.gate.shut.store(!is_open, Ordering::Relaxed);
        let messages = u32::try_from(backlog.messages).unwrap_or(u32::MAX);
        metrics::gauge!("outbox_messages").set(messages);
        metrics::gauge!("outbox_age_seconds").set(backlog.age);
        metrics::gauge!("admission_open").set(u8::from(is_open));
        if is_open == was_open {
            return;
        }
        let age_ms = backlog.age.as_millis();
        if is_open {
            self.health.ready();
            tracing::info!(messages, age_ms, "requests are let in again");
        } else {
            self.health
                .ready_though("too much waits in the outbox: what changes something is refused");
            tracing::warn!(messages, age_ms, "too much waits in the outbox: requests are refused");
        }
    }
}

#[cfg(test)]
mod tests;
