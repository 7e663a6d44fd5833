//! The consumer: a batch of messages, their effects and the resulting messages in one transaction.
//!
//! ```text
//! gather ──> parse, decode ──> BEGIN  inbox · handler · dead letters · outbox  COMMIT ──> store offsets
//!    ^                                                                                        │
//!    └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** nothing is in flight across a poll. A batch is gathered, processed
//! and committed before Kafka is polled again, so a rebalance falls between batches, or makes a
//! batch's offsets invalid; the batch is then read again, and the inbox makes that harmless.
//!
//! **Architecture invariant:** offsets are stored after the commit, never before it. Delivery is at
//! least once, processing is once. The committed offset is the position: records that are never
//! delivered (control records, aborted messages) count as read once everything before them is.
//!
//! **Architecture invariant:** no message makes a pass over a batch exceed [`PASS_LIMIT`], and
//! Kafka is polled between two passes: the group never waits for `max.poll.interval.ms`. A pass is
//! a sum of bounded parts: preparing a batch (10 s), decoding it (10 s, and the call that is open
//! then), its transaction (30 s), processing it one by one (20 s, and the transaction that is open
//! then). The rest of the batch is left to the next pass; the messages processed before the limit
//! are committed and their offsets are stored.
//!
//! A transient fault pauses the partitions and the same batch is tried again, for as long as it
//! takes. A batch that fails for another reason is processed again one by one through the same
//! function, so that only the message at fault becomes a dead letter. Later messages of its key are
//! processed: a dead letter that is redriven is a very late message. If there are too many dead
//! letters, the [failure limit](FailureLimits) halts the consumer before it exceeds the limit.

use std::{
    future::Future,
    ops::AddAssign,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use self::{
    batch::BatchEntry, failure_limit::FailureCounter, poll::GatheredBatch, process::BatchProgress,
};
use crate::{
    backoff::BackoffSchedule,
    clock::Clock,
    db,
    dead_letter::MessagePlace,
    effects::{DecisionEffects, WorkerWakers},
    fault::{self, Fault},
    health::HealthComponent,
    kafka,
    lag::GroupLag,
    lifecycle,
    message::{Message, TraceParent},
    sequence,
    telemetry::messaging::ProcessingCause,
};

pub(crate) use failure_limit::FailureLimit;
pub use failure_limit::{FailureLimits, WINDOW};
pub use poll::ConsumerSettings;
pub(crate) use poll::PartitionReader;
pub use record_handler::RecordHandler;

mod batch;
mod callbacks;
mod client;
mod failure_limit;
mod offsets;
mod poll;
mod process;
mod read_errors;
mod record_handler;
mod recovery;
mod redrive;
mod stall_watch;

/// The time limit of the current batch after the stop signal. Then the batch is given up: its
/// transaction is rolled back, or was committed and the inbox detects the repeat.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(2);

/// A pass over a batch is given up after this long. Below `max.poll.interval.ms`, so that the
/// content of a batch never makes the group drop a member.
const PASS_LIMIT: Duration = Duration::from_secs(90);
const _: () = assert!(PASS_LIMIT.as_secs() + 10 < kafka::POLL_INTERVAL_MAX.as_secs());

/// A service's handler of messages.
pub trait MessageHandler: Send + Sync + 'static {
    /// The type that a body is decoded into, once per message.
    type Input: Send + Sync;

    /// The topics that the handler reads.
    fn topics(&self) -> Vec<&'static str>;

    /// Decodes a body. A schema that cannot be fetched now is a transient fault; bytes that are not
    /// a record of the topic are poison.
    fn decode(&self, message: &Message) -> impl Future<Output = Result<Self::Input, Fault>> + Send;

    /// Prepares to decode the messages of one batch: remote lookups (such as schemas) are made for
    /// all messages together, within 10 s. After a transient fault [`decode`](Self::decode) looks
    /// up the missing parts.
    fn prepare(&self, _messages: &[&Message]) -> impl Future<Output = Result<(), Fault>> + Send {
        std::future::ready(Ok(()))
    }

    /// Decodes a body that an operator redrives. A redriven body may be decoded in more ways than
    /// a body from the log; the result then says by what it was decoded.
    fn decode_again(
        &self,
        message: &Message,
    ) -> impl Future<Output = Result<(Self::Input, Option<String>), Fault>> + Send {
        async { Ok((self.decode(message).await?, None)) }
    }

    /// Processes new messages, in order, within the given transaction.
    fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, Self::Input>],
    ) -> impl Future<Output = Result<HandlerOutcome, Fault>> + Send;
}

/// A message that is new to this service.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'m, I> {
    /// The message as it was received, with its headers.
    pub message: &'m Message,
    /// The body, as the handler decoded it.
    pub input: &'m I,
}

/// The result of a handler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandlerOutcome {
    /// The messages to send and the jobs to do or stop.
    pub effects: DecisionEffects,
    /// Messages that the domain refuses: for each its index in the batch and the reason.
    pub refused: Vec<(usize, String)>,
}

impl HandlerOutcome {
    /// The effects of a batch, and what is refused of it by these answers: one for each message,
    /// with the message's index in the batch.
    pub fn of<T, E: std::error::Error + 'static>(
        effects: DecisionEffects,
        answers: impl IntoIterator<Item = (usize, Result<T, E>)>,
    ) -> Self {
        let reason = |(at, answer): (usize, Result<T, E>)| Some((at, fault::chain(&answer.err()?)));
        Self { effects, refused: answers.into_iter().filter_map(reason).collect() }
    }
}

/// The parts that process the messages of one service.
#[derive(Clone, Debug)]
pub struct BatchProcessor<H> {
    /// The service's name: its consumer group, and the prefix of its dead-letter topic.
    pub service: &'static str,
    /// The service's handler of messages.
    pub handler: H,
    /// The database in which each batch is one transaction.
    pub pool: PgPool,
    /// The workers that are woken after a commit.
    pub wakers: WorkerWakers,
    /// The clock, which also creates the ids of dead letters.
    pub clock: Clock,
    /// Counts repeats and messages out of order, by the messages' sequence numbers.
    pub watch: sequence::SequenceWatch,
}

/// The results of a batch, counted by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Messages that had their effect.
    pub fresh: usize,
    /// Messages that were processed before.
    pub repeats: usize,
    /// Messages that became dead letters.
    pub dead: usize,
}

impl AddAssign for BatchCounts {
    fn add_assign(&mut self, more: Self) {
        self.fresh += more.fresh;
        self.repeats += more.repeats;
        self.dead += more.dead;
    }
}

/// The result of one step of the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerStep {
    /// A batch was processed.
    Processed(BatchCounts),
    /// There was nothing to read.
    Idle,
    /// The partitions went to another member before the batch was processed.
    Dropped,
    /// Too many dead letters: the consumer has left its group. Only a restart tries again.
    Halted,
    /// The process is to stop.
    Stopped,
}

/// The consumer of one service.
#[derive(Debug)]
pub struct GroupConsumer<H> {
    parts: Arc<BatchProcessor<H>>,
    log: PartitionReader,
    failures: FailureCounter,
    halted: bool,
    backoff: BackoffSchedule,
    health: HealthComponent,
}

impl<H: MessageHandler> GroupConsumer<H> {
    /// A consumer that has joined its group.
    pub fn new(
        parts: impl Into<Arc<BatchProcessor<H>>>,
        settings: &ConsumerSettings,
        health: HealthComponent,
    ) -> Result<Self, ConsumerError> {
        let parts = parts.into();
        sequence::SequenceWatch::announce(parts.service, &parts.handler.topics());
        let log = PartitionReader::subscribe(settings, parts.service, &parts.handler.topics())?;
        let failures = FailureCounter::new(settings.limits);
        announce(parts.service);
        offsets::announce(parts.service, &parts.handler.topics());
        recovery::announce(parts.service);
        Ok(Self { parts, log, failures, halted: false, backoff: BackoffSchedule::hold(), health })
    }

    /// Makes the consumer watch the lag of its group, and rejoin the group when progress stops.
    #[must_use]
    pub fn watching(mut self, lag: GroupLag) -> Self {
        self.log.watch(lag);
        self
    }

    /// Steps until told to stop. A fatal error of the client ends it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ConsumerError> {
        loop {
            match self.step(&stop).await? {
                ConsumerStep::Processed(_) | ConsumerStep::Idle | ConsumerStep::Dropped => (),
                ConsumerStep::Stopped => {
                    self.log.close().await;
                    return Ok(());
                }
                ConsumerStep::Halted => {
                    // Another member may be able to process what halted this one.
                    self.log.close().await;
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
    }

    /// Gathers one batch, processes it and stores its offsets.
    pub async fn step(&mut self, stop: &CancellationToken) -> Result<ConsumerStep, ConsumerError> {
        if self.halted {
            // Kafka was read beyond the message that halted the consumer: going on would skip it.
            stop.cancelled().await;
            return Ok(ConsumerStep::Stopped);
        }
        let batch = tokio::select! {
            () = stop.cancelled() => return Ok(ConsumerStep::Stopped),
            batch = self.log.gather() => batch?,
        };
        match self.log.obstacle() {
            None => self.health.ready(),
            Some(obstacle) => self.health.not_ready(&obstacle),
        }
        if batch.messages.is_empty() {
            self.log.store_position(batch.generation)?;
            return Ok(ConsumerStep::Idle);
        }
        Box::pin(self.work_through(batch, stop)).await
    }

    /// Processes a batch in as many passes as it needs, and stores the offsets of each.
    async fn work_through(
        &mut self,
        GatheredBatch { messages, generation }: GatheredBatch,
        stop: &CancellationToken,
    ) -> Result<ConsumerStep, ConsumerError> {
        let (mut attempt, began) = (0, Instant::now());
        let (mut counts, size) = (BatchCounts::default(), messages.len());
        let mut batch = self.parts.entries(messages, ProcessingCause::Log);
        loop {
            let pass = tokio::select! {
                pass = pass(&self.parts, &mut batch, &mut self.failures) => pass,
                () = lifecycle::stopped_for(stop, GIVE_UP_LIMIT) => return Ok(ConsumerStep::Stopped),
            };
            let delay = match pass {
                Ok(progress) => {
                    let processed = batch.drain(..progress.upto).collect::<Vec<_>>();
                    self.log.store(generation, processed.iter().map(BatchEntry::incoming))?;
                    counts += progress.counts;
                    if let (Some(limit), Some(next)) = (progress.limit, batch.first()) {
                        measure(self.parts.service, size, began);
                        let place = MessagePlace::of(next.incoming());
                        let trace = next.incoming().headers.trace();
                        self.halt(&place, trace, limit);
                        return Ok(ConsumerStep::Halted);
                    }
                    if batch.is_empty() {
                        measure(self.parts.service, size, began);
                        self.log.store_position_at_times(generation)?;
                        return Ok(ConsumerStep::Processed(counts));
                    }
                    attempt = 0;
                    Duration::ZERO
                }
                Err(fault) => {
                    let delay = self.backoff.delay(attempt);
                    attempt += 1;
                    self.hold_back(&fault, attempt, delay);
                    delay
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(ConsumerStep::Stopped),
                still_ours = self.log.hold(generation, delay) => if !still_ours? {
                    return Ok(ConsumerStep::Dropped);
                },
            }
        }
    }

    fn halt(&mut self, place: &MessagePlace, trace: Option<TraceParent>, limit: FailureLimit) {
        self.halted = true;
        let reason = format!("stopped before {place}: {limit}; a restart tries again from there");
        self.health.not_ready(&reason);
        metrics::gauge!("consumer_halted", "service" => self.parts.service).set(1);
        tracing::error!(
            topic = place.topic,
            partition = place.partition,
            offset = place.offset,
            trace_id = trace.map(TraceParent::trace_id),
            %limit,
            "consumer halted: too many dead letters"
        );
    }

    fn hold_back(&self, fault: &Fault, attempt: u32, delay: Duration) {
        self.health.not_ready("a batch cannot be processed");
        metrics::counter!("consumer_holds_total", "service" => self.parts.service).increment(1);
        tracing::warn!(
            error = fault::chain(fault),
            attempt,
            delay_ms = delay.as_millis(),
            "a batch cannot be processed now and is held back"
        );
    }
}

/// Processes as much of a batch as fits within the time limit.
async fn pass<H: MessageHandler>(
    parts: &BatchProcessor<H>,
    batch: &mut [BatchEntry<H::Input>],
    failures: &mut FailureCounter,
) -> Result<BatchProgress, Fault> {
    let limit = db::limit(&parts.pool, PASS_LIMIT);
    match tokio::time::timeout(limit, parts.process_within(batch, failures)).await {
        Ok(progress) => progress,
        Err(_elapsed) => Err(Fault::transient(format!("a batch takes longer than {limit:?}"))),
    }
}

/// Registers the metrics of a consumer at 0, before anything is counted.
fn announce(service: &'static str) {
    metrics::gauge!("consumer_halted", "service" => service).set(0);
    metrics::counter!("consumer_holds_total", "service" => service).increment(0);
    process::count(service, BatchCounts::default());
}

fn measure(service: &'static str, messages: usize, began: Instant) {
    metrics::histogram!("consumer_batch_duration_seconds", "service" => service)
        .record(began.elapsed());
    metrics::histogram!("consumer_batch_size", "service" => service)
        .record(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// Why a consumer ends.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client cannot recover; the process must restart.
    #[error("the Kafka client failed for good")]
    Fatal(#[source] rdkafka::error::KafkaError),
    /// The client could not be created.
    #[error("the Kafka client could not be made")]
    Client(#[source] rdkafka::error::KafkaError),
}
