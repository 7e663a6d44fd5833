//! From the log to one transaction: a batch of messages, their effects, and what they make us say.
//!
//! ```text
//! gather ──> open (envelope, body) ──> BEGIN  lanes · inbox · handler · letters · outbox  COMMIT ──> store offsets
//!    ^                                                                                                  │
//!    └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** nothing is in flight across a poll. A batch is gathered, taken in
//! and committed before the log is asked again, so a rebalance falls between batches, or makes a
//! batch's offsets void, which the inbox then makes harmless.
//!
//! **Architecture invariant:** offsets follow the commit, never lead it. At least once to here,
//! taken in once from here on. What is committed is the position: also what is never delivered
//! (control records, messages of aborted transactions) is read, once everything before it is.
//!
//! A transient fault holds the partitions back and tries the same batch again, for as long as it
//! takes. A batch that fails for a reason of its own is taken in again one by one through the same
//! function, so that only the message at fault becomes a dead letter. While the lane of a message
//! (its topic and key) has an open dead letter, the message is parked behind it. If too many die,
//! the [guard](Limits) stops the consumer before the one too many.

use std::{
    future::Future,
    ops::AddAssign,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
use crate::{
    backoff::Backoff,
    clock::Clock,
    dead_letter::Place,
    effects::{Effects, Wakers},
    fault::{self, Fault},
    health::Component,
    lifecycle,
    message::{Incoming, Message, TraceParent},
    sequence,
};

pub use guard::{Limit, Limits, WINDOW};
pub use log::{Log, Settings};

mod guard;
mod log;
mod offsets;
mod redrive;
mod sorted;
mod take_in;

/// A batch in hand so long after the consumer was told to stop is given up: its transaction is undone,
/// or the inbox knows it.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(2);

/// What a service does with messages.
pub trait Handler: Send + Sync + 'static {
    /// A body, read.
    type Input: Send + Sync;

    /// The topics that it reads.
    fn topics(&self) -> Vec<&'static str>;

    /// Reads a body. A schema that cannot be fetched now is a transient fault; bytes that are not
    /// what the topic carries are poison.
    fn decode(&self, message: &Message) -> impl Future<Output = Result<Self::Input, Fault>> + Send;

    /// Takes new messages in, in order, within the transaction given.
    fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[Taken<'_, Self::Input>],
    ) -> impl Future<Output = Result<Handled, Fault>> + Send;
}

/// A message that is new to this service.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'m, I> {
    /// As it came.
    pub message: &'m Message,
    /// Its body.
    pub input: &'m I,
}

/// What a handler answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handled {
    /// What is to be said and done.
    pub effects: Effects,
    /// Messages that the domain refuses: each its place in the batch, and why.
    pub refused: Vec<(usize, String)>,
}

/// Whose messages these are and what they need.
#[derive(Clone, Debug)]
pub struct Parts<H> {
    /// The service's name: its consumer group, and the prefix of its dead-letter topic.
    pub service: &'static str,
    /// What it does with messages.
    pub handler: H,
    /// Its database.
    pub pool: PgPool,
    /// Who is woken after a commit.
    pub wakers: Wakers,
    /// Mints ids of dead letters.
    pub clock: Clock,
    /// Counts what the numbers on messages give away.
    pub watch: sequence::Watch,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Messages that had their effect.
    pub fresh: usize,
    /// Messages that were known already.
    pub repeats: usize,
    /// Messages that became dead letters.
    pub dead: usize,
    /// Messages that wait behind the dead letter of their lane.
    pub parked: usize,
}

impl AddAssign for TakenIn {
    fn add_assign(&mut self, more: Self) {
        self.fresh += more.fresh;
        self.repeats += more.repeats;
        self.dead += more.dead;
        self.parked += more.parked;
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was taken in.
    TakenIn(TakenIn),
    /// There was nothing to read.
    Idle,
    /// The partitions were given to somebody else before the batch was taken in.
    Dropped,
    /// Too many messages died: it stands still and has left its group. Only a restart tries again.
    Halted,
    /// The process is to stop.
    Stopped,
}

/// The consumer of one service.
#[derive(Debug)]
pub struct Consumer<H> {
    parts: Arc<Parts<H>>,
    log: Log,
    guard: Guard,
    halted: bool,
    backoff: Backoff,
    health: Component,
}

impl<H: Handler> Consumer<H> {
    /// A consumer that has joined its group.
    pub fn new(
        parts: impl Into<Arc<Parts<H>>>,
        settings: &Settings,
        health: Component,
    ) -> Result<Self, Error> {
        let parts = parts.into();
        sequence::Watch::announce(parts.service, &parts.handler.topics());
        let log = Log::subscribe(settings, parts.service, &parts.handler.topics())?;
        let guard = Guard::new(settings.limits);
        announce(parts.service);
        offsets::announce(parts.service, &parts.handler.topics());
        Ok(Self { parts, log, guard, halted: false, backoff: Backoff::hold(), health })
    }

    /// Steps until told to stop. A fatal error of the client ends it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        loop {
            match self.step(&stop).await? {
                Step::TakenIn(_) | Step::Idle | Step::Dropped => (),
                Step::Stopped => {
                    self.log.close().await;
                    return Ok(());
                }
                Step::Halted => {
                    // Others of the group may fare better with what this one stands before.
                    self.log.close().await;
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
    }

    /// Gathers one batch, takes it in, stores its offsets.
    pub async fn step(&mut self, stop: &CancellationToken) -> Result<Step, Error> {
        if self.halted {
            // The log was read beyond the place where it stands: to go on here would skip that.
            stop.cancelled().await;
            return Ok(Step::Stopped);
        }
        let batch = tokio::select! {
            () = stop.cancelled() => return Ok(Step::Stopped),
            batch = self.log.gather() => batch?,
        };
        if self.log.is_assigned() {
            self.health.ready();
        } else {
            self.health.not_ready("no partitions are assigned");
        }
        if batch.messages.is_empty() {
            self.log.store_position(&batch)?;
            return Ok(Step::Idle);
        }
        let (mut attempt, began) = (0, Instant::now());
        loop {
            let taken_in = tokio::select! {
                taken_in = self.parts.take_in_within(&batch.messages, &mut self.guard) => taken_in,
                () = lifecycle::stopped_for(stop, GIVE_UP_LIMIT) => return Ok(Step::Stopped),
            };
            match taken_in {
                Ok(progressed) => {
                    measure(self.parts.service, batch.messages.len(), began);
                    self.log.store(&batch, progressed.upto)?;
                    if let Some(limit) = progressed.limit {
                        self.halt(&batch.messages[progressed.upto], limit);
                        return Ok(Step::Halted);
                    }
                    self.log.store_position(&batch)?;
                    return Ok(Step::TakenIn(progressed.taken));
                }
                Err(fault) => {
                    let delay = self.backoff.delay(attempt);
                    attempt += 1;
                    self.hold_back(&fault, attempt, delay);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(Step::Stopped),
                        still_ours = self.log.hold(&batch, delay) => if !still_ours? {
                            return Ok(Step::Dropped);
                        },
                    }
                }
            }
        }
    }

    /// Says where it stands, and before how much.
    fn halt(&mut self, at: &Incoming, limit: Limit) {
        self.halted = true;
        let place = Place::of(at);
        let reason = format!("stopped before {place}: {limit}; a restart tries again from there");
        self.health.not_ready(&reason);
        metrics::gauge!("consumer_halted", "service" => self.parts.service).set(1);
        tracing::error!(
            topic = place.topic,
            partition = place.partition,
            offset = place.offset,
            trace_id = at.headers.trace().map(TraceParent::trace_id),
            %limit,
            "too many messages die: the consumer stops before the next one"
        );
    }

    fn hold_back(&self, fault: &Fault, attempt: u32, delay: Duration) {
        self.health.not_ready("a batch cannot be taken in");
        metrics::counter!("consumer_holds_total", "service" => self.parts.service).increment(1);
        tracing::warn!(
            error = fault::chain(fault),
            attempt,
            delay_ms = delay.as_millis(),
            "a batch cannot be taken in now and is held back"
        );
    }
}

/// Shows the numbers of a consumer before anything is counted.
fn announce(service: &'static str) {
    metrics::gauge!("consumer_halted", "service" => service).set(0);
    metrics::counter!("consumer_holds_total", "service" => service).increment(0);
    take_in::count(service, TakenIn::default());
}

/// Measures a batch that was taken in.
fn measure(service: &'static str, messages: usize, began: Instant) {
    metrics::histogram!("consumer_batch_duration_seconds", "service" => service)
        .record(began.elapsed());
    metrics::histogram!("consumer_batch_size", "service" => service)
        .record(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// How a consumer ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client is beyond repair; the process must start anew.
    #[error("the Kafka client failed for good")]
    Fatal(#[source] rdkafka::error::KafkaError),
    /// The client could not be made.
    #[error("the Kafka client could not be made")]
    Client(#[source] rdkafka::error::KafkaError),
}
