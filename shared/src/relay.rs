//! The relay publishes the outbox to Kafka, in its order; one relay per service is active.
//!
//! ```text
//! lead (advisory lock, epoch + 1) ──> head ──> publish, wait for each answer ──> settle (same epoch?)
//!                                      ^                                            │
//!                                      └────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** a row is deleted only after the broker confirmed its message, and
//! per key only if everything before it was confirmed. A lost confirmation means a repeat, never a
//! loss, and never a swap of first occurrences within a key.
//!
//! **Architecture invariant:** after any doubt (a refused or unconfirmed message, a lost
//! connection, a lost lease) the producer is discarded and the outbox is read again from its head.
//!
//! **Architecture invariant:** a topic that refuses messages does not stop other topics. Such a
//! topic is *held*: the relay reads the head without it, and retries its messages after growing
//! pauses, alone and record by record, in their order. So the record at fault is known. Only if the
//! broker refuses the record for a reason of the record itself does the record leave the order of
//! its key: one transaction, which checks the epoch, moves it to the dead letters.
//!
//! **Architecture invariant:** the leader is able to publish. A relay that published nothing for
//! [`RelaySettings::lead_limit`] while messages wait, beside those of held topics, steps down.
//!
//! A relay that was replaced while it was suspended may still publish its batch: late repeats,
//! which receivers' inboxes detect. It cannot settle: the deleting transaction checks the epoch.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::BackoffSchedule,
    batch_wait::{BatchWait, WaitLimits},
    db,
    effects::WorkerWakers,
    fault,
    health::HealthComponent,
    lifecycle,
    log_throttle::LogThrottle,
    outbox::OutboxRow,
    published::{OffsetsByPartition, PublishedRetention, TopicPartition},
};

pub(crate) use self::leader::LeaderLease;
use self::leader_tenure::LeaderTenure;
pub use self::{
    kafka::KafkaPublisher,
    publish_result::{PublishRefusal, PublishResult, RefusalCause},
    step_result::{RelayError, RelayStep},
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
mod step_result;

/// When a batch waits for more messages.
const WAIT_LIMITS: WaitLimits =
    WaitLimits { lonely_rate: 100.0, longest: Duration::from_millis(6) };

/// The log to which the relay publishes messages.
pub trait MessagePublisher: Send {
    /// Publishes the messages in order and waits for the log. Returns one result per message. After
    /// an unconfirmed message the publisher has no state left and can be used again.
    fn publish(
        &mut self,
        messages: &[OutboxRow],
    ) -> impl Future<Output = Vec<PublishResult>> + Send;

    /// Sets the time without any confirmation after which the rest counts as unconfirmed.
    fn set_patience(&mut self, _patience: Duration) {}

    /// Why the last unconfirmed messages were not confirmed, in the log's own words.
    fn trouble(&self) -> String {
        String::new()
    }

    /// The topics that are known from the start, for the metrics.
    fn topics(&self) -> Vec<&'static str> {
        vec![]
    }

    /// Creates a missing topic again; returns whether the topic was missing. Bounded in time.
    fn restore(&mut self, _topic: &str) -> impl Future<Output = Result<bool, String>> + Send {
        async { Ok(false) }
    }

    /// The offsets of the messages that the log confirmed since the last call. A log without
    /// offsets has none.
    fn offsets(&mut self) -> OffsetsByPartition {
        OffsetsByPartition::default()
    }

    /// The end offsets of these partitions. None, if the log does not answer now; a partition
    /// without an answer is left out. A log without offsets never ends too early.
    fn ends(
        &mut self,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Option<BTreeMap<TopicPartition, i64>>> + Send {
        let no_offsets = partitions.into_iter().map(|pair| (pair, i64::MAX)).collect();
        std::future::ready(Some(no_offsets))
    }
}

/// The settings of a relay.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How connections are opened; the relay keeps one of its own, outside any pool.
    pub database: db::SessionOptions,
    /// Names the outbox among others of the database, and the holder in its lease.
    pub service: &'static str,
    /// Messages in a batch, at most.
    pub batch_max: usize,
    /// The longest time between two reads of the outbox, whether the relay was woken or not.
    pub poll: Duration,
    /// The time limit of one statement; a statement that exceeds it loses its connection.
    pub statement_limit: Duration,
    /// How long the rest of the outbox may still be published when the process is to stop.
    pub stop_grace: Duration,
    /// A leader that has published nothing for this long, while messages wait, gives up leadership.
    /// Below the age at which admission refuses, so that another instance publishes before that.
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
    /// While this relay does not lead: the connection that checks whether another one does.
    standby: Option<PgConnection>,
    tenure: LeaderTenure,
    repeats: LogThrottle,
    keep: PublishedRetention,
    waits: BatchWait,
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
        let waits = BatchWait::within(WAIT_LIMITS);
        Self { settings, publisher, wakers, health, leader, standby, tenure, repeats, keep, waits }
    }

    /// Sets which published messages the relay keeps.
    #[must_use]
    pub fn keeping(self, keep: PublishedRetention) -> Self {
        Self { keep, ..self }
    }

    /// Steps until told to stop; then publishes the rest, if the log accepts it soon.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RelayError> {
        let mut failures = 0;
        // A broker that is away is not waited for.
        let stop_grace = self.settings.stop_grace;
        let mut too_late = std::pin::pin!(lifecycle::stopped_for(&stop, stop_grace));
        loop {
            let wait = self.waits.wait(Instant::now());
            if !wait.is_zero() && !stop.is_cancelled() {
                tokio::time::sleep(wait).await;
            }
            // Registered before the outbox is read, so that a wake-up in between is not lost.
            let wakers = self.wakers.clone();
            let woken = wakers.relay.notified();
            let outcome = tokio::select! {
                outcome = self.step() => outcome,
                () = &mut too_late => break,
            };
            let more = self.goes_on(&outcome);
            // A relay that does not lead is not woken by the messages that the leader publishes.
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

    /// Notes how much was published, and says whether to step again at once. After a batch that was
    /// not full nothing waits that was there when it was read, and what comes later wakes the relay.
    fn goes_on(&mut self, outcome: &Result<RelayStep, RelayError>) -> bool {
        let Ok(RelayStep::Published(n)) = outcome else {
            return matches!(outcome, Ok(RelayStep::Held));
        };
        self.waits.note(*n, Instant::now());
        let is_whole = self.leader.as_ref().is_some_and(|leader| leader.has_read_all);
        *n >= self.settings.batch_max || !is_whole
    }

    /// Reports the relay's state as health and log; returns whether the step counts as a success.
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
                    None if self
                        .leader
                        .as_ref()
                        .is_some_and(|leader| leader.known.is_saying_again()) =>
                    {
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
            // Reported when the relay gave up.
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

    /// Leads, if no other relay does, and publishes one batch.
    pub async fn step(&mut self) -> Result<RelayStep, RelayError> {
        // Taken out, and put back only on success: an error ends the leadership and closes its
        // connection, which frees the lock.
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

    /// Becomes the leader, or returns the step that says why not.
    async fn stand(&mut self) -> Result<Result<LeaderLease, RelayStep>, RelayError> {
        let limit = self.settings.statement_limit;
        // Taken out, and put back only on success, like the leader's connection.
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

    /// Gives up leadership for another relay, which may be able to publish.
    async fn give_up(&mut self, leader: LeaderLease) -> Result<RelayStep, RelayError> {
        self.leaves(&leader);
        let reason = self.tenure.gives_up(Instant::now(), &self.publisher.trouble());
        tracing::warn!(epoch = leader.epoch, reason, "another relay may lead");
        self.health.not_ready(&reason);
        counter("relay_gave_up_total", self.settings.service).increment(1);
        db::within(self.settings.statement_limit, leader.conn.close()).await?;
        Ok(RelayStep::GaveUp)
    }

    /// Clears the metric of held topics: from now on the next leader reports held topics.
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
