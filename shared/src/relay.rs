//! From the outbox to the log: one active relay per service, in the order of the outbox.
//!
//! ```text
//! lead (advisory lock, epoch + 1) ──> head ──> publish, wait for each confirmation ──> settle (same epoch?)
//!                                      ^                                                   │
//!                                      └───────────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** a row is deleted only after the broker confirmed its message, and
//! per key only as far as everything before it was confirmed. A lost confirmation means a repeat,
//! never a loss, and never a swap of first occurrences within a key.
//!
//! **Architecture invariant:** after any doubt (a refused or unconfirmed message, a lost connection,
//! a lost lease) the producer is thrown away and the outbox is read again from its head.
//!
//! A relay that was replaced while it slept may still publish what it holds: late repeats, which
//! the receivers' inboxes know. It cannot settle: the epoch is checked in the deleting transaction.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    db,
    effects::Wakers,
    fault,
    health::Component,
    lifecycle,
    outbox::{self, Kept},
    published::{self, Keep, Offsets, Partition},
    telemetry::{messaging, spans},
};

pub use self::{kafka::KafkaPublisher, leader::Leader};

mod kafka;
mod known;
mod leader;
mod losses;

/// Where messages are published.
pub trait Publish: Send {
    /// Publishes the messages in order and waits for the log. Answers, per message, whether the log
    /// confirmed it. After a message that it did not confirm, the publisher has forgotten
    /// everything and can be used again.
    fn publish(&mut self, messages: &[Kept]) -> impl Future<Output = Vec<bool>> + Send;

    /// The offsets that the log gave to what it confirmed of the last batch. A log without offsets has
    /// none.
    fn offsets(&mut self) -> Offsets {
        Offsets::default()
    }

    /// Where these partitions end. None, if the log does not say now; a partition of which it says
    /// nothing is left out. A log without offsets never ends too early.
    fn ends(
        &mut self,
        partitions: Vec<Partition>,
    ) -> impl Future<Output = Option<BTreeMap<Partition, i64>>> + Send {
        let no_offsets = partitions.into_iter().map(|it| (it, i64::MAX)).collect();
        std::future::ready(Some(no_offsets))
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many messages were published and settled; there may be more.
    Published(usize),
    /// There was nothing to publish.
    Idle,
    /// Some messages were not confirmed; so many were.
    Unconfirmed(usize),
    /// Another relay leads.
    Standby,
    /// Another relay took over: what was published last was not settled here.
    Deposed,
}

/// How a step fails. All of it is transient.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox could not be read or settled.
    #[error("the outbox is out of reach")]
    Outbox(#[from] sqlx::Error),
}

/// How a relay works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The connections' options; the relay keeps one of its own, outside any pool.
    pub database: PgConnectOptions,
    /// Names the outbox among others of the database, and the holder in its lease.
    pub service: &'static str,
    /// Messages in a batch, at most.
    pub batch_max: usize,
    /// Looks at least this often, whether it was woken or not.
    pub poll: Duration,
    /// Any one statement is given up after this long, and its connection with it.
    pub statement_limit: Duration,
    /// What is in the outbox when the process is to stop may go out for this long.
    pub stop_grace: Duration,
}

/// The relay of one service.
#[derive(Debug)]
pub struct Relay<P> {
    settings: Settings,
    publisher: P,
    wakers: Wakers,
    health: Component,
    leader: Option<Leader>,
    keep: Keep,
}

impl<P: Publish> Relay<P> {
    /// A relay that does not lead yet.
    pub fn new(settings: Settings, publisher: P, wakers: Wakers, health: Component) -> Self {
        counter("relay_published_total", settings.service).increment(0);
        counter("relay_failures_total", settings.service).increment(0);
        counter("log_losses_total", settings.service).increment(0);
        counter("relay_published_again_total", settings.service).increment(0);
        leads(settings.service, false);
        Self { settings, publisher, wakers, health, leader: None, keep: Keep::default() }
    }

    /// What it keeps of what it published.
    #[must_use]
    pub fn keeping(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// Steps until told to stop; then publishes what is there, if the log takes it soon.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut failures = 0;
        // A broker that is away is not waited for.
        let stop_grace = self.settings.stop_grace;
        let mut too_late = std::pin::pin!(lifecycle::stopped_for(&stop, stop_grace));
        loop {
            // Interest is registered before the outbox is read, so that a wake-up in between counts.
            let wakers = self.wakers.clone();
            let woken = wakers.relay.notified();
            let outcome = tokio::select! {
                outcome = self.step() => outcome,
                () = &mut too_late => break,
            };
            let more = matches!(outcome, Ok(Step::Published(_)));
            failures = if self.note(outcome) {
                0
            } else {
                counter("relay_failures_total", self.settings.service).increment(1);
                failures + 1
            };
            leads(self.settings.service, self.leader.is_some());
            if more {
                continue;
            }
            if stop.is_cancelled() {
                break;
            }
            let wait =
                if failures == 0 { self.settings.poll } else { Backoff::hold().delay(failures) };
            tokio::select! {
                () = stop.cancelled() => (),
                () = woken, if failures == 0 => (),
                () = tokio::time::sleep(wait) => (),
            }
        }
        Ok(())
    }

    /// Says how the relay stands; answers whether all is well.
    fn note(&self, outcome: Result<Step, Error>) -> bool {
        match outcome {
            Ok(Step::Published(_) | Step::Idle | Step::Standby) => {
                if self.leader.as_ref().is_some_and(|it| it.known.is_saying_again()) {
                    self.health.ready_though("the log lost messages: they are published again");
                } else {
                    self.health.ready();
                }
                true
            }
            Ok(Step::Unconfirmed(_) | Step::Deposed) => {
                self.health.not_ready("the log does not confirm");
                false
            }
            Err(error) => {
                tracing::warn!(error = fault::chain(&error), "the relay starts over");
                self.health.not_ready("the outbox is out of reach");
                false
            }
        }
    }

    /// Publishes one batch from the head of the outbox.
    pub async fn step(&mut self) -> Result<Step, Error> {
        let limit = self.settings.statement_limit;
        // Taken out, and put back only when all went well: an error ends the leadership, whose
        // connection is closed, whose lock is then free.
        let leader = match self.leader.take() {
            Some(leader) => Some(leader),
            None => db::within(limit, Leader::elect(&self.settings)).await?,
        };
        let Some(mut leader) = leader else { return Ok(Step::Standby) };
        if !self.look(&mut leader).await? {
            return Ok(Step::Deposed);
        }
        if let Some(step) = self.say_again(&mut leader).await? {
            if step != Step::Deposed {
                self.leader = Some(leader);
            }
            return Ok(step);
        }
        let batch = db::within(limit, outbox::head(&mut leader.conn, self.n_max())).await?;
        if batch.is_empty() {
            self.leader = Some(leader);
            return Ok(Step::Idle);
        }
        let began = spans::now();
        let confirmed = self.publish(&batch).await;
        let settled = settleable(&batch, &confirmed);
        let offsets = self.publisher.offsets();
        let leads = self.compare(&mut leader, &offsets).await?;
        let settle =
            published::settle(&mut leader.conn, leader.epoch, &settled, (&offsets, &self.keep));
        if !leads || !db::within(limit, settle).await? {
            tracing::warn!(epoch = leader.epoch, "another relay took over");
            return Ok(Step::Deposed);
        }
        leader.known.reached(offsets);
        for (kept, _) in batch.iter().zip(&confirmed).filter(|(_, confirmed)| **confirmed) {
            messaging::published(kept, began);
        }
        counter("relay_published_total", self.settings.service).increment(settled.len() as u64);
        if settled.len() < batch.len() {
            leader.known.doubt();
            self.leader = Some(leader);
            return Ok(Step::Unconfirmed(settled.len()));
        }
        self.leader = Some(leader);
        Ok(Step::Published(settled.len()))
    }

    fn n_max(&self) -> i64 {
        i64::try_from(self.settings.batch_max).unwrap_or(i64::MAX)
    }

    /// Hands a batch to the log, and measures how long that takes.
    async fn publish(&mut self, batch: &[Kept]) -> Vec<bool> {
        let (service, began) = (self.settings.service, Instant::now());
        let confirmed = self.publisher.publish(batch).await;
        metrics::histogram!("relay_ack_duration_seconds", "service" => service)
            .record(began.elapsed());
        metrics::histogram!("relay_batch_size", "service" => service)
            .record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        confirmed
    }
}

fn counter(name: &'static str, service: &'static str) -> metrics::Counter {
    metrics::counter!(name, "service" => service)
}

fn leads(service: &'static str, leads: bool) {
    metrics::gauge!("relay_leads", "service" => service).set(u8::from(leads));
}

/// The rows that may be deleted: confirmed, with everything before them of the same key confirmed.
fn settleable(batch: &[Kept], confirmed: &[bool]) -> Vec<i64> {
    let mut blocked = HashSet::new();
    batch
        .iter()
        .zip(confirmed)
        .filter_map(|(kept, confirmed)| {
            let lane = (&kept.message.topic, &kept.message.key);
            if *confirmed && !blocked.contains(&lane) {
                return Some(kept.outbox_id);
            }
            blocked.insert(lane);
            None
        })
        .collect()
}

#[cfg(test)]
mod tests;
