//! From the log to one transaction: a batch of messages, their effects, and what they make us say.
//!
//! ```text
//! gather ──> open (envelope, body) ──> BEGIN  inbox · handler · dead letters · outbox  COMMIT ──> store offsets
//!    ^                                                                                               │
//!    └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Architecture invariant:** nothing is in flight across a poll. A batch is gathered, taken in
//! and committed before the log is asked again, so a rebalance falls between batches, or makes a
//! batch's offsets void, which the inbox then makes harmless.
//!
//! **Architecture invariant:** offsets follow the commit, never lead it. At least once to here,
//! taken in once from here on.
//!
//! A transient fault holds the partitions back and tries the same batch again, for as long as it
//! takes. A batch that fails for a reason of its own is taken in again one by one through the same
//! function, so that only the message at fault becomes a dead letter.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    clock::Clock,
    db,
    dead_letter::{self, DeadLetter, Reason},
    effects::{Effects, Wakers},
    fault::{self, Fault},
    health::Component,
    inbox,
    message::{Envelope, Incoming, Message},
    sequence,
};

pub use log::{Log, Settings};

mod log;

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
}

/// A transaction of a batch is given up after this long. Far below `max.poll.interval.ms`.
const TAKE_IN_LIMIT: Duration = Duration::from_secs(30);

impl<H: Handler> Parts<H> {
    /// Takes a batch in: inbox, handler, dead letters and outbox in one transaction, all or
    /// nothing. A message at fault is dead; a fault that cannot be pinned on one is returned.
    pub async fn take_in(&self, batch: &[Incoming]) -> Result<TakenIn, Fault> {
        let (opened, mut dead) = self.open(batch).await?;
        let work = AssertUnwindSafe(self.transact(&opened, &mut dead));
        let outcome = db::within(
            TAKE_IN_LIMIT,
            work.catch_unwind().map(|caught| {
                caught.unwrap_or_else(|_panic| Err(Fault::poison("the handler panicked")))
            }),
        );
        let (taken, effects) = outcome.await?;
        self.wakers.wake(&effects);
        count(self.service, taken);
        Ok(taken)
    }

    /// Reads the outside and the inside of each message.
    async fn open<'b>(&self, batch: &'b [Incoming]) -> Result<Opened<'b, H>, Fault> {
        let mut good = Vec::with_capacity(batch.len());
        let mut dead = Vec::new();
        for incoming in batch {
            let message = match read_outside(incoming) {
                Ok(message) => message,
                Err(detail) => {
                    dead.push(DeadLetter { incoming, reason: Reason::Envelope, detail });
                    continue;
                }
            };
            match self.handler.decode(&message).await {
                Ok(input) => good.push((incoming, message, input)),
                Err(Fault::Poison(error)) => {
                    let detail = fault::chain(&*error);
                    dead.push(DeadLetter { incoming, reason: Reason::Body, detail });
                }
                Err(transient @ Fault::Transient(_)) => return Err(transient),
            }
        }
        Ok((good, dead))
    }

    async fn transact<'b>(
        &self,
        opened: &[(&'b Incoming, Message, H::Input)],
        dead: &mut Vec<DeadLetter<'b>>,
    ) -> Result<(TakenIn, Effects), Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let messages: Vec<&Message> = opened.iter().map(|(_, message, _)| message).collect();
        let admitted = inbox::admit(&mut tx, &messages).await?;
        for index in admitted.imposters {
            let detail = "its ce_id was used before, for another message".to_owned();
            dead.push(DeadLetter { incoming: opened[index].0, reason: Reason::Imposter, detail });
        }
        let fresh: Vec<_> = admitted.fresh.iter().map(|index| &opened[*index]).collect();
        let batch: Vec<_> =
            fresh.iter().map(|(_, message, input)| Taken { message, input }).collect();
        let Handled { mut effects, refused } = if batch.is_empty() {
            Handled::default()
        } else {
            self.handler.handle(&mut tx, &batch).await?
        };
        let mut taken = TakenIn {
            fresh: fresh.len() - refused.len(),
            repeats: admitted.repeats.len(),
            dead: 0,
        };
        let mut accepted: Vec<_> = batch.iter().map(|it| Some(it.message)).collect();
        for (index, detail) in refused {
            accepted[index] = None;
            let incoming = fresh[index].0;
            dead.push(DeadLetter { incoming, reason: Reason::Contradiction, detail });
        }
        taken.dead = dead.len();
        effects.messages.extend(dead_letter::keep(&mut tx, self.service, &self.clock, dead).await?);
        effects.save(&mut tx).await?;
        tx.commit().await?;
        let repeats = admitted.repeats.iter().map(|it| messages[*it]);
        self.watch.note(self.service, accepted.into_iter().flatten(), repeats);
        Ok((taken, effects))
    }

    /// Takes a batch in message by message; one that fails alone becomes a dead letter.
    async fn take_in_one_by_one(&self, batch: &[Incoming]) -> Result<TakenIn, Fault> {
        let mut total = TakenIn::default();
        for incoming in batch {
            let taken = match self.take_in(std::slice::from_ref(incoming)).await {
                Err(Fault::Poison(error)) => self.bury(incoming, fault::chain(&*error)).await?,
                outcome => outcome?,
            };
            total.fresh += taken.fresh;
            total.repeats += taken.repeats;
            total.dead += taken.dead;
        }
        Ok(total)
    }

    /// Makes a dead letter of a message that cannot be taken in even alone.
    async fn bury(&self, incoming: &Incoming, detail: String) -> Result<TakenIn, Fault> {
        let mut dead = vec![DeadLetter { incoming, reason: Reason::Unprocessable, detail }];
        let outcome = self.transact(&[], &mut dead);
        let (taken, effects) = db::within(TAKE_IN_LIMIT, outcome).await?;
        self.wakers.wake(&effects);
        count(self.service, taken);
        Ok(taken)
    }

    /// Takes a batch in, whatever it holds: only a transient fault comes back.
    pub async fn take_in_or_isolate(&self, batch: &[Incoming]) -> Result<TakenIn, Fault> {
        match self.take_in(batch).await {
            Err(Fault::Poison(error)) => {
                tracing::warn!(
                    error = fault::chain(&*error),
                    messages = batch.len(),
                    "a batch failed for a reason of its own and is taken in one by one"
                );
                self.take_in_one_by_one(batch).await
            }
            outcome => outcome,
        }
    }
}

/// Messages that could be read, and those that could not.
type Opened<'b, H> = (Vec<(&'b Incoming, Message, <H as Handler>::Input)>, Vec<DeadLetter<'b>>);

fn read_outside(incoming: &Incoming) -> Result<Message, String> {
    let envelope = Envelope::from_headers(&incoming.headers).map_err(|error| error.to_string())?;
    if incoming.key.as_deref() != Some(envelope.subject.as_bytes()) {
        return Err("its key is not its ce_subject".to_owned());
    }
    Ok(Message { incoming: incoming.clone(), envelope })
}

fn count(service: &'static str, taken: TakenIn) {
    for (outcome, n) in [("fresh", taken.fresh), ("repeat", taken.repeats), ("dead", taken.dead)] {
        metrics::counter!("consumer_messages_total", "service" => service, "outcome" => outcome)
            .increment(n as u64);
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
    /// The process is to stop.
    Stopped,
}

/// The consumer of one service.
#[derive(Debug)]
pub struct Consumer<H> {
    parts: Parts<H>,
    log: Log,
    backoff: Backoff,
    health: Component,
}

impl<H: Handler> Consumer<H> {
    /// A consumer that has joined its group.
    pub fn new(parts: Parts<H>, settings: &Settings, health: Component) -> Result<Self, Error> {
        sequence::Watch::announce(parts.service, &parts.handler.topics());
        let log = Log::subscribe(settings, parts.service, &parts.handler.topics())?;
        Ok(Self { parts, log, backoff: Backoff::hold(), health })
    }

    /// Steps until told to stop. A fatal error of the client ends it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        while self.step(&stop).await? != Step::Stopped {}
        self.log.close().await;
        Ok(())
    }

    /// Gathers one batch, takes it in, stores its offsets.
    pub async fn step(&mut self, stop: &CancellationToken) -> Result<Step, Error> {
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
            return Ok(Step::Idle);
        }
        let mut attempt = 0;
        loop {
            match self.parts.take_in_or_isolate(&batch.messages).await {
                Ok(taken) => {
                    self.log.store(&batch)?;
                    return Ok(Step::TakenIn(taken));
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
