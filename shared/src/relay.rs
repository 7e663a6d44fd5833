//! From the outbox to the log: one active relay per service, in the order of the outbox.
//!
//! ```text
//! lead (advisory lock, epoch + 1) ──> head ──> publish, wait for each answer ──> settle (same epoch?)
//!                                      ^                                            │
//!                                      └────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** a row is deleted only after the broker confirmed its message, and
//! per key only as far as everything before it was confirmed. A lost confirmation means a repeat,
//! never a loss, and never a swap of first occurrences within a key.
//!
//! **Architecture invariant:** after any doubt (a refused or unconfirmed message, a lost connection,
//! a lost lease) the producer is thrown away and the outbox is read again from its head.
//!
//! **Architecture invariant:** what one topic does not take does not stop the others. A topic that
//! refuses is *held*: the head is read beside it, and it is tried again after growing pauses, alone and
//! record by record, in its order. So the record at fault is known. Only if the broker refuses that
//! record for its own sake does it leave the order of its key: it is moved to the dead letters in one
//! transaction that checks the epoch.
//!
//! **Architecture invariant:** who leads is able to publish. A relay that published nothing for
//! [`Settings::lead_limit`] while messages wait, beside those of held topics, makes room for another.
//!
//! A relay that was replaced while it slept may still publish what it holds: late repeats, which
//! the receivers' inboxes know. It cannot settle: the epoch is checked in the deleting transaction.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::BackoffSchedule,
    db,
    effects::WorkerWakers,
    fault::{self, Fault},
    health::HealthComponent,
    lifecycle,
    log_throttle::LogThrottle,
    outbox::OutboxRow,
    published::{OffsetsByPartition, PublishedRetention, TopicPartition},
};

use self::leader_tenure::LeaderTenure;
pub use self::{
    kafka::KafkaPublisher,
    leader::LeaderLease,
    publish_result::{PublishRefusal, PublishResult, RefusalCause},
};

mod batch;
mod held_topics;
mod kafka;
mod leader;
mod leader_tenure;
mod losses;
mod one_by_one;
mod publish_result;
mod recorded_ends;

/// Where messages are published.
pub trait MessagePublisher: Send {
    /// Publishes the messages in order and waits for the log. Answers for each message. After a
    /// message that it did not confirm, the publisher has forgotten everything and can be used again.
    fn publish(
        &mut self,
        messages: &[OutboxRow],
    ) -> impl Future<Output = Vec<PublishResult>> + Send;

    /// No confirmation at all for so long, and the rest counts as unconfirmed.
    fn set_patience(&mut self, _patience: Duration) {}

    /// What kept the last messages that were not confirmed from it, in the log's own words.
    fn trouble(&self) -> String {
        String::new()
    }

    /// The topics that are known from the start, for the numbers.
    fn topics(&self) -> Vec<&'static str> {
        vec![]
    }

    /// Makes a topic anew that is missing; answers whether it was. Bounded in time.
    fn restore(&mut self, _topic: &str) -> impl Future<Output = Result<bool, String>> + Send {
        async { Ok(false) }
    }

    /// The offsets that the log gave to what it confirmed since it was asked last. A log
    /// without offsets has none.
    fn offsets(&mut self) -> OffsetsByPartition {
        OffsetsByPartition::default()
    }

    /// Where these partitions end. None, if the log does not say now; a partition of which it says
    /// nothing is left out. A log without offsets never ends too early.
    fn ends(
        &mut self,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Option<BTreeMap<TopicPartition, i64>>> + Send {
        let no_offsets = partitions.into_iter().map(|pair| (pair, i64::MAX)).collect();
        std::future::ready(Some(no_offsets))
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayStep {
    /// So many messages were published and settled; there may be more.
    Published(usize),
    /// A topic is held, or held longer; others may go on.
    Held,
    /// There was nothing to publish.
    Idle,
    /// Some messages were not confirmed; so many were.
    Unconfirmed(usize),
    /// Another relay leads.
    Standby,
    /// Another relay took over: what was published last was not settled here.
    Deposed,
    /// It could not publish for too long, and leads no more.
    GaveUp,
    /// It gave up before, and does not stand yet.
    Resting,
}

/// How a step fails. All of it is transient.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The outbox could not be read or settled.
    #[error("the outbox is out of reach")]
    Outbox(#[from] sqlx::Error),
    /// A record that no broker takes could not be moved.
    #[error("a record could not be moved to the dead letters")]
    Bury(#[from] Fault),
}

/// How a relay works.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How connections are opened; the relay keeps one of its own, outside any pool.
    pub database: db::SessionOptions,
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
    /// Who leads and has published nothing for this long, while messages wait, leads no more. Below
    /// the age at which admission refuses, so that another instance publishes before that.
    pub lead_limit: Duration,
}

/// The relay of one service.
#[derive(Debug)]
pub struct OutboxRelay<P> {
    settings: RelaySettings,
    publisher: P,
    wakers: WorkerWakers,
    health: HealthComponent,
    leader: Option<LeaderLease>,
    /// By which it asks whether another one leads, while it does not.
    standby: Option<PgConnection>,
    tenure: LeaderTenure,
    repeats: LogThrottle,
    keep: PublishedRetention,
}

impl<P: MessagePublisher> OutboxRelay<P> {
    /// A relay that does not lead yet.
    pub fn new(
        settings: RelaySettings,
        publisher: P,
        wakers: WorkerWakers,
        health: HealthComponent,
    ) -> Self {
        let service = settings.service;
        for name in [
            "relay_published_total",
            "relay_published_again_total",
            "relay_failures_total",
            "relay_gave_up_total",
            "log_losses_total",
        ] {
            counter(name, service).increment(0);
        }
        for topic in publisher.topics() {
            show_held(service, topic, false);
            count_topic("relay_unpublishable_total", service, topic, 0);
            count_topic("relay_topics_restored_total", service, topic, 0);
        }
        leads(service, false);
        let tenure = LeaderTenure::new(settings.lead_limit, Instant::now());
        let repeats = LogThrottle::default();
        let keep = PublishedRetention::default();
        let (leader, standby) = (None, None);
        Self { settings, publisher, wakers, health, leader, standby, tenure, repeats, keep }
    }

    /// What it keeps of what it published.
    #[must_use]
    pub fn keeping(self, keep: PublishedRetention) -> Self {
        Self { keep, ..self }
    }

    /// Steps until told to stop; then publishes what is there, if the log takes it soon.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RelayError> {
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
            let more = matches!(outcome, Ok(RelayStep::Published(_) | RelayStep::Held));
            // What another one publishes is no reason to look more often whether it still does.
            let not_leading = matches!(outcome, Ok(RelayStep::Resting | RelayStep::Standby));
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
            let wait = if failures == 0 {
                self.settings.poll
            } else {
                BackoffSchedule::hold().delay(failures)
            };
            tokio::select! {
                () = stop.cancelled() => (),
                () = woken, if failures == 0 && !not_leading => (),
                () = tokio::time::sleep(wait) => (),
            }
        }
        Ok(())
    }

    /// Says how the relay stands; answers whether all is well, or as well as can be.
    fn note(&mut self, outcome: Result<RelayStep, RelayError>) -> bool {
        match outcome {
            Ok(RelayStep::Published(_) | RelayStep::Idle | RelayStep::Held) => {
                self.repeats = LogThrottle::default();
                let held = self.leader.as_ref().and_then(|leader_lease| leader_lease.held.first());
                match held {
                    Some(held) => self.health.ready_though(format!(
                        "topic {} is held, others go on: {}",
                        held.topic, held.detail
                    )),
                    None if self.leader.as_ref().is_some_and(|it| it.known.is_saying_again()) => {
                        self.health.ready_though("the log lost messages: they are published again");
                    }
                    None => self.health.ready(),
                }
                true
            }
            Ok(RelayStep::Standby) => {
                self.health.ready();
                true
            }
            // Said when it gave up.
            Ok(RelayStep::Resting) => true,
            Ok(RelayStep::GaveUp) => false,
            Ok(RelayStep::Unconfirmed(_) | RelayStep::Deposed) => {
                let trouble = self.publisher.trouble();
                if let Some(unlogged) = self.repeats.note(Instant::now()) {
                    tracing::warn!(trouble, unlogged, "the log does not confirm");
                }
                self.health.not_ready(&format!("the log does not confirm: {trouble}"));
                false
            }
            Err(error) => {
                if let Some(unlogged) = self.repeats.note(Instant::now()) {
                    let error = fault::chain(&error);
                    tracing::warn!(error, unlogged, "the relay starts over");
                }
                self.health.not_ready("the outbox is out of reach");
                false
            }
        }
    }

    /// Leads, if nobody else does, and publishes one batch.
    pub async fn step(&mut self) -> Result<RelayStep, RelayError> {
        // Taken out, and put back only when all went well: an error ends the leadership, whose
        // connection is closed, whose lock is then free.
        let mut leader = match self.leader.take() {
            Some(leader) => leader,
            None => match self.stand().await? {
                Ok(leader) => leader,
                Err(step) => return Ok(step),
            },
        };
        let outcome = self.lead(&mut leader).await;
        let Ok(step) = outcome else {
            self.leaves(&leader);
            return outcome;
        };
        if step == RelayStep::Deposed {
            tracing::warn!(epoch = leader.epoch, "another relay took over");
            self.leaves(&leader);
            return Ok(step);
        }
        if self.tenure.is_over(Instant::now()) {
            return self.give_up(leader).await;
        }
        self.leader = Some(leader);
        Ok(step)
    }

    /// Becomes the leader; or says why not.
    async fn stand(&mut self) -> Result<Result<LeaderLease, RelayStep>, RelayError> {
        let limit = self.settings.statement_limit;
        // Taken out, and put back only when all went well, like the leader's.
        let mut conn = match self.standby.take() {
            Some(conn) => conn,
            None => db::within(limit, self.settings.database.connect()).await?,
        };
        if self.tenure.resting(Instant::now()).is_some() {
            let led = db::within(limit, LeaderLease::is_there(&mut conn)).await?;
            if !self.tenure.is_needed(Instant::now(), led) {
                self.standby = Some(conn);
                return Ok(Err(RelayStep::Resting));
            }
        }
        let leader = match db::within(limit, LeaderLease::elect(&self.settings, conn)).await? {
            Ok(leader) => leader,
            Err(conn) => {
                self.standby = Some(conn);
                return Ok(Err(RelayStep::Standby));
            }
        };
        for held in &leader.held {
            show_held(self.settings.service, &held.topic, true);
        }
        self.tenure.begins(Instant::now());
        Ok(Ok(leader))
    }

    /// Makes room for another relay, which may be able to publish.
    async fn give_up(&mut self, leader: LeaderLease) -> Result<RelayStep, RelayError> {
        self.leaves(&leader);
        let reason = self.tenure.gives_up(Instant::now(), &self.publisher.trouble());
        tracing::warn!(epoch = leader.epoch, reason, "another relay may lead");
        self.health.not_ready(&reason);
        counter("relay_gave_up_total", self.settings.service).increment(1);
        db::within(self.settings.statement_limit, leader.conn.close()).await?;
        Ok(RelayStep::GaveUp)
    }

    /// What is held is another's to show.
    fn leaves(&self, leader: &LeaderLease) {
        for held in &leader.held {
            show_held(self.settings.service, &held.topic, false);
        }
    }
}

fn counter(name: &'static str, service: &'static str) -> metrics::Counter {
    metrics::counter!(name, "service" => service)
}

fn count_topic(name: &'static str, service: &'static str, topic: &str, n: u64) {
    metrics::counter!(name, "service" => service, "topic" => topic.to_owned()).increment(n);
}

fn leads(service: &'static str, leads: bool) {
    metrics::gauge!("relay_leads", "service" => service).set(u8::from(leads));
}

fn show_held(service: &'static str, topic: &str, is_held: bool) {
    let labels = [("service", service.to_owned()), ("topic", topic.to_owned())];
    metrics::gauge!("relay_held_topics", &labels).set(u8::from(is_held));
}
