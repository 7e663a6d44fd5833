//! Batches concurrent HTTP commands into one transaction; the next batch gathers meanwhile.
//!
//! A single request is a batch of one; under load a batch waits a little for more
//! ([`batch_wait`](crate::batch_wait)). The queue is bounded; a command that finds the
//! queue full is refused at once, and so are all commands until half of the queue is free again.
//! Before the queue comes the [`AdmissionGate`], which is shut while too much accepted work waits.
//!
//! **Architecture invariant:** a caller that goes away does not cancel its command's transaction:
//! the work runs in the batcher's own task.
//!
//! A batch that fails for a reason of its own, or whose wait for a lock times out, is processed
//! again one by one through the same function, so that only the command at fault is refused.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{PgConnection, PgPool};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{
    admission::AdmissionGate,
    effects::{DecisionEffects, WorkerWakers},
    fault::Fault,
    message::TraceParent,
};

use self::command_spans::CommandSpans;
pub use self::worker::{BatchWorker, BatcherStep};

mod command_spans;
mod worker;

/// The handler that processes a batch of commands.
pub trait BatchHandler: Send + Sync + 'static {
    /// A command as it comes from the edge.
    type Command: Send + Sync + 'static;
    /// The answer to the caller of a command.
    type Answer: Send + 'static;

    /// The trace of a command, if it has one. The batcher replaces it with the span of the
    /// command's transaction, so that what follows from the command has that span as its parent.
    fn trace(_command: &mut Self::Command) -> Option<&mut TraceParent> {
        None
    }

    /// Processes the commands, in order, within the given transaction. Answers have the same
    /// order.
    fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<(Vec<Self::Answer>, DecisionEffects), Fault>> + Send;
}

/// Why a command was not processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many commands wait already.
    #[error("too many commands wait already")]
    Full,
    /// Too much work that was accepted before waits in the outbox.
    #[error("too much accepted work waits to be published")]
    Overloaded {
        /// When the caller is to retry.
        retry_after: Duration,
    },
    /// The database is away; nothing was done or the outcome is unknown: retry with the same key.
    #[error("the command could not be processed now")]
    Unavailable,
    /// A row that the command needs stayed locked by another transaction, or the command's
    /// transaction collided with others each time it was tried.
    #[error("the same thing is being worked on at this moment")]
    Busy,
    /// Processing the command fails every time.
    #[error("the command cannot be processed")]
    Failed,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl SubmitError {
    /// All answers of [`Self::code`]: labels of a metric, so they never change.
    const CODES: [&str; 6] = ["full", "overloaded", "unavailable", "busy", "failed", "stopping"];

    /// The stable name of the reason, for metrics.
    fn code(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
        }
    }
}

/// The parts that a batcher is made of.
#[derive(Clone, Debug)]
pub struct BatcherParts<B> {
    /// The batcher's name in the metrics.
    pub name: &'static str,
    /// The handler that processes the commands.
    pub batch: B,
    /// The database in which each batch is one transaction.
    pub pool: PgPool,
    /// The workers that are woken after a commit.
    pub wakers: WorkerWakers,
    /// The gate that decides whether commands are accepted.
    pub gate: AdmissionGate,
}

/// The limits of a batcher: queue, batch and times.
#[derive(Clone, Copy, Debug)]
pub struct BatcherSettings {
    /// Commands that may wait.
    pub queue_max: usize,
    /// The highest number of commands in one transaction.
    pub batch_max: usize,
    /// One transaction may take this long.
    pub transaction_limit: Duration,
    /// A batch waits this long for a lock, before its commands are tried one by one.
    pub lock_limit: Duration,
    /// A batch that still runs this long after the stop signal is given up.
    pub stop_limit: Duration,
}

impl Default for BatcherSettings {
    fn default() -> Self {
        Self {
            queue_max: 5_000,
            batch_max: 500,
            transaction_limit: Duration::from_secs(5),
            lock_limit: Duration::from_secs(1),
            stop_limit: Duration::from_millis(2_500),
        }
    }
}

fn refused(batcher: &'static str, reason: &'static str) -> metrics::Counter {
    metrics::counter!("batcher_refused_total", "batcher" => batcher, "reason" => reason)
}

fn show_depth(batcher: &'static str, depth: usize) {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    metrics::gauge!("batcher_queue_depth", "batcher" => batcher).set(depth);
}

/// A command that waits, and the channel to the caller that waits for its answer.
struct QueuedCommand<B: BatchHandler> {
    command: B::Command,
    spans: CommandSpans,
    caller: oneshot::Sender<Result<B::Answer, SubmitError>>,
}

/// The handle through which commands are submitted. Clones share the same queue.
pub struct CommandBatcher<B: BatchHandler> {
    name: &'static str,
    queue: mpsc::Sender<QueuedCommand<B>>,
    gate: AdmissionGate,
    /// The queue was full, and has not yet been half empty since.
    crowded: Arc<AtomicBool>,
}

impl<B: BatchHandler> CommandBatcher<B> {
    /// Creates a handle and its worker.
    pub fn new(parts: BatcherParts<B>, settings: BatcherSettings) -> (Self, BatchWorker<B>) {
        let (queue, waiting) = mpsc::channel(settings.queue_max);
        let (name, gate, crowded) = (parts.name, parts.gate.clone(), Arc::default());
        for reason in SubmitError::CODES {
            refused(name, reason).increment(0);
        }
        show_depth(name, 0);
        (Self { name, queue, gate, crowded }, BatchWorker::new(Arc::new(parts), settings, waiting))
    }

    /// Submits a command and waits for its answer. Refused at once if the queue is full. A caller
    /// that stops waiting does not undo its command.
    pub async fn submit(&self, command: B::Command) -> Result<B::Answer, SubmitError> {
        let answer = self.enqueue(command);
        let outcome = match answer {
            // The worker ended without an answer: the outcome is unknown.
            Ok(answer) => answer.await.unwrap_or(Err(SubmitError::Unavailable)),
            Err(refused) => Err(refused),
        };
        if let Err(why) = &outcome {
            refused(self.name, why.code()).increment(1);
        }
        outcome
    }

    /// Commands that wait at this moment.
    pub fn depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    fn enqueue(
        &self,
        mut command: B::Command,
    ) -> Result<oneshot::Receiver<Result<B::Answer, SubmitError>>, SubmitError> {
        if let Some(retry_after) = self.gate.refuses() {
            return Err(SubmitError::Overloaded { retry_after });
        }
        if self.crowded.load(Ordering::Relaxed) {
            if self.depth() > self.queue.max_capacity() / 2 {
                return Err(SubmitError::Full);
            }
            self.crowded.store(false, Ordering::Relaxed);
        }
        let (caller, answer) = oneshot::channel();
        let spans = CommandSpans::begin(B::trace(&mut command));
        match self.queue.try_send(QueuedCommand { command, spans, caller }) {
            Ok(()) => {
                show_depth(self.name, self.depth());
                Ok(answer)
            }
            Err(TrySendError::Full(_)) => {
                self.crowded.store(true, Ordering::Relaxed);
                Err(SubmitError::Full)
            }
            Err(TrySendError::Closed(_)) => Err(SubmitError::Stopping),
        }
    }
}

impl<B: BatchHandler> Clone for CommandBatcher<B> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            queue: self.queue.clone(),
            gate: self.gate.clone(),
            crowded: Arc::clone(&self.crowded),
        }
    }
}

impl<B: BatchHandler> fmt::Debug for CommandBatcher<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandBatcher").field("depth", &self.depth()).finish_non_exhaustive()
    }
}
