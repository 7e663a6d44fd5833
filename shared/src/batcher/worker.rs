//! The batcher's worker: takes commands from the queue in batches, each batch one transaction.

use std::{convert::Infallible, fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{BatchHandler, BatcherParts, BatcherSettings, QueuedCommand, SubmitError};
use crate::{
    batch_wait::{BatchWait, WaitLimits},
    db,
    effects::SavedEffects,
    fault::{self, Fault},
    lifecycle,
    telemetry::spans,
};

/// A batch that collided with another transaction is tried again this many times.
const COLLISIONS_MAX: u32 = 3;

/// A command that is tried alone waits this long for a lock: other commands wait behind it.
const LOCK_LIMIT_ALONE: Duration = Duration::from_millis(100);

/// When a batch of commands waits for more.
const WAIT_LIMITS: WaitLimits =
    WaitLimits { lonely_rate: 100.0, longest: Duration::from_millis(5) };

/// The outcome of one worker step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatcherStep {
    /// This many commands were answered, accepted or refused.
    Answered(usize),
    /// The queue is closed and no command waits any more.
    Closed,
}

/// Processes the commands that wait in the queue.
pub struct BatchWorker<B: BatchHandler> {
    parts: Arc<BatcherParts<B>>,
    settings: BatcherSettings,
    waiting: mpsc::Receiver<QueuedCommand<B>>,
    /// The batch that is being gathered.
    gathered: Vec<QueuedCommand<B>>,
    waits: BatchWait,
}

impl<B: BatchHandler> fmt::Debug for BatchWorker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<B: BatchHandler> BatchWorker<B> {
    pub(super) fn new(
        parts: Arc<BatcherParts<B>>,
        settings: BatcherSettings,
        waiting: mpsc::Receiver<QueuedCommand<B>>,
    ) -> Self {
        let waits = BatchWait::within(WAIT_LIMITS);
        Self { parts, settings, waiting, gathered: vec![], waits }
    }

    /// Steps until told to stop; then refuses new commands and processes those that wait already,
    /// within a time limit: a database that does not answer is not waited for. Callers that still
    /// wait after the limit are told that the outcome is unknown.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let stop_limit = self.settings.stop_limit;
        tokio::select! {
            () = Box::pin(self.work(&stop)) => (),
            () = lifecycle::stopped_for(&stop, stop_limit) => {
                tracing::warn!("commands in hand are given up: the database does not answer");
            }
        }
        Ok(())
    }

    async fn work(&mut self, stop: &CancellationToken) {
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                batch = self.gather() => batch,
            };
            if batch.is_empty() {
                // All callers have gone, which is how a stop begins: a part does not end before it
                // is told to.
                stop.cancelled().await;
                return;
            }
            self.answer(batch).await;
        }
        self.waiting.close();
        while self.step().await != BatcherStep::Closed {}
    }

    /// Waits for commands and processes those that are there, up to one batch.
    pub async fn step(&mut self) -> BatcherStep {
        let batch = self.gather().await;
        if batch.is_empty() {
            return BatcherStep::Closed;
        }
        let answered = batch.len();
        self.answer(batch).await;
        BatcherStep::Answered(answered)
    }

    /// Waits for a command, and under load a little longer for more. May be dropped at any moment:
    /// a command that was not returned is still in the queue or among the gathered ones.
    async fn gather(&mut self) -> Vec<QueuedCommand<B>> {
        let n_max = self.settings.batch_max;
        if self.gathered.is_empty() {
            self.waiting.recv_many(&mut self.gathered, n_max).await;
        }
        let wait = self.waits.wait(std::time::Instant::now());
        if !self.gathered.is_empty() && self.gathered.len() < n_max && !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        while self.gathered.len() < n_max
            && let Ok(command) = self.waiting.try_recv()
        {
            self.gathered.push(command);
        }
        self.waits.note(self.gathered.len(), std::time::Instant::now());
        std::mem::take(&mut self.gathered)
    }

    async fn answer(&self, batch: Vec<QueuedCommand<B>>) {
        let name = self.parts.name;
        metrics::histogram!("batcher_batch_size", "batcher" => name)
            .record(u32::try_from(batch.len()).unwrap_or(0));
        super::show_depth(name, self.waiting.len());
        let (mut commands, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|command| (command.command, (command.spans, command.caller)))
            .unzip();
        let (began, n) = (spans::now(), commands.len());
        let span = span::<B>(&mut commands);
        let answers = self.process_or_isolate(&commands).instrument(span).await;
        for ((spans, caller), answer) in callers.into_iter().zip(answers) {
            if spans.is_recorded() {
                spans.end(began, n, answer.as_ref().err().map(ToString::to_string));
            }
            // A caller that has gone away does not mind.
            drop(caller.send(answer));
        }
    }

    /// Processes commands, all in one transaction or else one by one; answers each.
    async fn process_or_isolate(
        &self,
        commands: &[B::Command],
    ) -> Vec<Result<B::Answer, SubmitError>> {
        let fault = match self.process_batch(commands, self.settings.lock_limit).await {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(fault) => fault,
        };
        let of_its_own = matches!(fault, Fault::Poison(_)) || fault.is_lock_timeout();
        if commands.len() == 1 || !of_its_own {
            let refused = refusal(&fault);
            log(&fault, &refused, commands.len());
            return commands.iter().map(|_| Err(refused.clone())).collect();
        }
        tracing::warn!(
            error = fault::chain(&fault),
            commands = commands.len(),
            "a batch failed for a reason of its own and is processed one by one"
        );
        let deadline = Instant::now() + self.settings.transaction_limit;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(self.process_alone(command, deadline).await);
        }
        answers
    }

    async fn process_alone(
        &self,
        command: &B::Command,
        deadline: Instant,
    ) -> Result<B::Answer, SubmitError> {
        if Instant::now() >= deadline {
            return Err(SubmitError::Unavailable);
        }
        let outcome = self.process_batch(std::slice::from_ref(command), LOCK_LIMIT_ALONE).await;
        let fault = match outcome {
            Ok(mut answers) => return answers.pop().ok_or(SubmitError::Failed),
            Err(fault) => fault,
        };
        let refused = refusal(&fault);
        log(&fault, &refused, 1);
        Err(refused)
    }

    /// One batch, one transaction; tried again if it collided with another transaction.
    async fn process_batch(
        &self,
        commands: &[B::Command],
        lock_limit: Duration,
    ) -> Result<Vec<B::Answer>, Fault> {
        let mut collisions = 0;
        loop {
            let work = AssertUnwindSafe(self.transact(commands, lock_limit)).catch_unwind();
            let work = work.map(|caught| {
                caught.unwrap_or_else(|_panic| Err(Fault::poison("processing commands panicked")))
            });
            match db::within(self.settings.transaction_limit, work).await {
                Ok((answers, saved)) => {
                    self.parts.wakers.after_commit(saved);
                    return Ok(answers);
                }
                Err(fault) if fault.is_collision() && collisions < COLLISIONS_MAX => {
                    collisions += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn transact(
        &self,
        commands: &[B::Command],
        lock_limit: Duration,
    ) -> Result<(Vec<B::Answer>, SavedEffects), Fault> {
        let mut tx = db::begin_limited(&self.parts.pool, lock_limit).await?;
        let (answers, effects) = self.parts.batch.handle_batch(&mut tx, commands).await?;
        if answers.len() != commands.len() {
            return Err(Fault::poison("not as many answers as commands"));
        }
        let saved = effects.save(&mut tx, &self.parts.wakers).await?;
        tx.commit().await?;
        Ok((answers, saved))
    }
}

/// The span for log lines of a transaction. Only a command that is alone has one trace.
fn span<B: BatchHandler>(commands: &mut [B::Command]) -> tracing::Span {
    let n = commands.len();
    let trace_id = match commands {
        [command] => B::trace(command).map(|trace| trace.trace_id()),
        _ => None,
    };
    tracing::info_span!("transaction", commands = n, trace_id)
}

fn refusal(fault: &Fault) -> SubmitError {
    match fault {
        Fault::Poison(_) => SubmitError::Failed,
        Fault::Transient(_) if fault.is_lock_timeout() || fault.is_collision() => SubmitError::Busy,
        Fault::Transient(_) => SubmitError::Unavailable,
    }
}

/// Logs once why commands are refused: the callers get fewer details.
fn log(fault: &Fault, refused: &SubmitError, commands: usize) {
    let error = fault::chain(fault);
    match fault {
        Fault::Poison(_) => log_failure(&error, commands),
        Fault::Transient(_) => {
            tracing::warn!(error, refused = refused.code(), commands, "commands are refused");
        }
    }
}

fn log_failure(error: &str, commands: usize) {
    tracing::error!(error, commands, "commands fail");
}
