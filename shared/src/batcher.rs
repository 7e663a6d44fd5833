//! Many concurrent HTTP commands, one transaction: while one batch commits, the next one gathers.
//!
//! No linger: alone, a request is a batch of one. The queue is bounded; what does not fit is
//! refused at once, and so is everything until half of it is free again. Before the queue stands
//! the [`Gate`], which is shut while too much that was taken in waits to be carried out.
//!
//! **Architecture invariant:** a caller that goes away does not take its command's transaction
//! with it: the work runs in the intake's own task.
//!
//! A batch that fails for a reason of its own, or that waits for a lock in vain, is taken in again
//! one by one through the same function, so that only the command at fault is refused.

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

/// What takes a batch of commands in.
pub trait BatchHandler: Send + Sync + 'static {
    /// A command as it comes from the edge.
    type Command: Send + Sync + 'static;
    /// What its caller is told.
    type Answer: Send + 'static;

    /// The trace that a command belongs to: it is given that of its transaction instead, so that
    /// what follows from the command belongs there.
    fn trace(_command: &mut Self::Command) -> Option<&mut TraceParent> {
        None
    }

    /// Takes the commands in, in order, within the transaction given. Answers stand in the same
    /// order.
    fn take_in(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<(Vec<Self::Answer>, DecisionEffects), Fault>> + Send;
}

/// Why a command was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many commands wait already.
    #[error("too many commands wait already")]
    Full,
    /// Too much that was taken in before waits to be carried out.
    #[error("too much that was taken in waits to be carried out")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// The database is away; nothing was done, or nobody knows: the same key again tells.
    #[error("the command could not be taken in now")]
    Unavailable,
    /// The row that it needs is being worked on by somebody else.
    #[error("the same thing is being worked on at this moment")]
    Busy,
    /// Taking it in fails every time.
    #[error("the command cannot be taken in")]
    Failed,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl SubmitError {
    /// All stable names.
    const CODES: [&str; 6] = ["full", "overloaded", "unavailable", "busy", "failed", "stopping"];

    /// Its stable name, for numbers.
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

/// What an intake works with.
#[derive(Clone, Debug)]
pub struct BatcherParts<B> {
    /// Its name in the numbers.
    pub name: &'static str,
    /// What takes commands in.
    pub batch: B,
    /// Its database.
    pub pool: PgPool,
    /// Who is woken after a commit.
    pub wakers: WorkerWakers,
    /// Whether anything is let in.
    pub gate: AdmissionGate,
}

/// How much an intake holds and how long it tries.
#[derive(Clone, Copy, Debug)]
pub struct BatcherSettings {
    /// Commands that may wait.
    pub queue_max: usize,
    /// Commands that one transaction takes in.
    pub batch_max: usize,
    /// One transaction may take this long.
    pub transaction_limit: Duration,
    /// A batch waits this long for a lock, before its commands are tried one by one.
    pub lock_limit: Duration,
    /// What is in hand so long after the worker was told to stop is given up.
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

fn refused(intake: &'static str, reason: &'static str) -> metrics::Counter {
    metrics::counter!("intake_refused_total", "intake" => intake, "reason" => reason)
}

fn show_depth(intake: &'static str, depth: usize) {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    metrics::gauge!("intake_queue_depth", "intake" => intake).set(depth);
}

/// A command that waits, and who waits for its answer.
struct QueuedCommand<B: BatchHandler> {
    command: B::Command,
    passage: CommandSpans,
    caller: oneshot::Sender<Result<B::Answer, SubmitError>>,
}

/// The door: commands go in here. Clones lead to the same queue.
pub struct CommandBatcher<B: BatchHandler> {
    name: &'static str,
    queue: mpsc::Sender<QueuedCommand<B>>,
    gate: AdmissionGate,
    /// The queue was full, and has not yet been half empty since.
    crowded: Arc<AtomicBool>,
}

impl<B: BatchHandler> CommandBatcher<B> {
    /// A door, and the worker behind it.
    pub fn new(parts: BatcherParts<B>, settings: BatcherSettings) -> (Self, BatchWorker<B>) {
        let (queue, waiting) = mpsc::channel(settings.queue_max);
        let (name, gate, crowded) = (parts.name, parts.gate.clone(), Arc::default());
        for reason in SubmitError::CODES {
            refused(name, reason).increment(0);
        }
        show_depth(name, 0);
        (Self { name, queue, gate, crowded }, BatchWorker::new(Arc::new(parts), settings, waiting))
    }

    /// Takes a command in and waits for its answer. Refused at once if there is no room. A caller
    /// that stops waiting does not undo its command.
    pub async fn submit(&self, command: B::Command) -> Result<B::Answer, SubmitError> {
        let answer = self.enqueue(command);
        let outcome = match answer {
            // A worker that is gone took the answer with it: nobody knows.
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
        let passage = CommandSpans::begin(B::trace(&mut command));
        match self.queue.try_send(QueuedCommand { command, passage, caller }) {
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
        f.debug_struct("Intake").field("depth", &self.depth()).finish_non_exhaustive()
    }
}
