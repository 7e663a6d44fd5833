//! The executor: the single thread that decides, writes and answers.
//!
//! The executor takes all waiting commands as one batch: it decides each attempt against the ledger
//! in turn, writes all their lines in one write, and only then answers. The more callers wait, the
//! larger the batch, without a timer.
//!
//! **Architecture invariant:** the ledger belongs to this thread alone, so there is no lock and no
//! order but the order of the journal; a look at the ledger is answered after the batch is written.
//!
//! **Architecture invariant:** when the journal cannot be written, the gateway stops: no answer
//! leaves that is not in the journal.

#[cfg(test)]
mod tests;

use std::{io, thread};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{ApiRequest, CardToken, MoneyOperation, answer::ApiAnswer, refusal::RequestRefusal},
    clock,
    faults::CallEnding,
    journal::{
        self, AttemptOutcome, AttemptedRecord, ForgotRecord, JournalRecord, OpenJournal, push_line,
    },
    ledger::{ChargeLedger, KeyStanding},
};

/// The length of the executor's queue; further callers wait until there is a free place.
const QUEUE_MAX: usize = 1_024;
const BATCH_MAX: usize = 512;

/// The executor has ended, because the gateway stops.
#[derive(Debug, thiserror::Error)]
#[error("the executor has stopped")]
pub(crate) struct ExecutorStopped;

/// One call, as far as it was understood.
#[derive(Debug)]
pub(crate) struct ParsedCall {
    pub(crate) operation: MoneyOperation,
    pub(crate) key: Option<String>,
    pub(crate) wish: CallTarget,
    pub(crate) ending: CallEnding,
}

/// The purpose of an attempt.
#[derive(Debug)]
pub(crate) enum CallTarget {
    /// To be noted only: it was turned away before it came here.
    Refused(RequestRefusal),
    Do(ApiRequest, ExecutionTime),
}

/// When a request is to be executed, if it has not been yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutionTime {
    Now,
    /// Later: until then the key is held, and nobody else may.
    Later,
    /// Now that its time has come; ends the hold.
    AfterHold,
}

/// The result of an attempt.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// The key is held; settle it.
    Held,
    /// The end of it.
    Done(CallEnd),
}

/// The end of an attempt.
#[derive(Debug)]
pub(crate) struct CallEnd {
    pub(crate) answer: ApiAnswer,
    pub(crate) replayed: bool,
    pub(crate) ending: CallEnding,
}

enum ExecutorCommand {
    Attempt(ParsedCall, oneshot::Sender<CallResult>),
    Look(Box<dyn FnOnce(&ChargeLedger) + Send>),
    Forget(oneshot::Sender<()>),
    Close,
}

/// The handle through which commands are sent to the executor.
#[derive(Clone, Debug)]
pub(crate) struct ExecutorHandle {
    commands: mpsc::Sender<ExecutorCommand>,
}

/// Resolves once, when the executor has ended.
pub(crate) type ExecutorEnd = oneshot::Receiver<Result<(), journal::JournalError>>;

/// Starts the executor; whenever the executor ends, the gateway stops.
pub(crate) fn open(
    journal: OpenJournal,
    ledger: ChargeLedger,
    stop: CancellationToken,
) -> io::Result<(ExecutorHandle, ExecutorEnd)> {
    let (commands, inbox) = mpsc::channel(QUEUE_MAX);
    let (end, ended) = oneshot::channel();
    let mut clerk = ExecutorTask { journal, ledger, lines: Vec::new() };
    thread::Builder::new().name("executor".to_owned()).spawn(move || {
        let _stop = stop.drop_guard();
        let result = clerk.run(inbox);
        // The receiver may be gone; the process ends either way.
        drop(end.send(result));
    })?;
    Ok((ExecutorHandle { commands }, ended))
}

impl ExecutorHandle {
    /// Serves an attempt; once it has been handed in, it is served even if nobody waits.
    pub(crate) async fn attempt(&self, attempt: ParsedCall) -> Result<CallResult, ExecutorStopped> {
        let (reply, served) = oneshot::channel();
        self.send(ExecutorCommand::Attempt(attempt, reply)).await?;
        served.await.or(Err(ExecutorStopped))
    }

    /// Looks at the ledger.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ChargeLedger) -> T + Send + 'static,
    ) -> Result<T, ExecutorStopped> {
        let (reply, seen) = oneshot::channel();
        let look = move |ledger: &ChargeLedger| drop(reply.send(look(ledger)));
        self.send(ExecutorCommand::Look(Box::new(look))).await?;
        seen.await.or(Err(ExecutorStopped))
    }

    pub(crate) async fn forget_keys(&self) -> Result<(), ExecutorStopped> {
        let (reply, forgotten) = oneshot::channel();
        self.send(ExecutorCommand::Forget(reply)).await?;
        forgotten.await.or(Err(ExecutorStopped))
    }

    /// Ends the executor after the commands that are already in its queue.
    pub(crate) async fn close(&self) {
        // Closed already is as good.
        drop(self.send(ExecutorCommand::Close).await);
    }

    async fn send(&self, command: ExecutorCommand) -> Result<(), ExecutorStopped> {
        self.commands.send(command).await.or(Err(ExecutorStopped))
    }
}

struct ExecutorTask {
    journal: OpenJournal,
    ledger: ChargeLedger,
    lines: Vec<u8>,
}

impl ExecutorTask {
    fn run(
        &mut self,
        mut inbox: mpsc::Receiver<ExecutorCommand>,
    ) -> Result<(), journal::JournalError> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut open = true;
        while open && inbox.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            open = self.serve_batch(&mut batch)?;
        }
        Ok(())
    }

    /// Returns whether the executor goes on.
    fn serve_batch(
        &mut self,
        batch: &mut Vec<ExecutorCommand>,
    ) -> Result<bool, journal::JournalError> {
        let now_ms = clock::now_ms();
        let (mut served, mut looks, mut open) = (Vec::with_capacity(batch.len()), Vec::new(), true);
        let mut forgotten = Vec::new();
        for command in batch.drain(..) {
            match command {
                ExecutorCommand::Attempt(attempt, reply) => {
                    served.push((reply, self.serve(attempt, now_ms)));
                }
                ExecutorCommand::Look(look) => looks.push(look),
                ExecutorCommand::Forget(reply) => {
                    self.take(JournalRecord::Forgot(ForgotRecord { at_ms: now_ms }));
                    forgotten.push(reply);
                }
                ExecutorCommand::Close => open = false,
            }
        }
        if !self.lines.is_empty() {
            self.journal.append(&self.lines)?;
            self.lines.clear();
        }
        for (reply, served) in served {
            // The caller may be gone; what was executed stays executed.
            drop(reply.send(served));
        }
        for reply in forgotten {
            reply.send(()).ok();
        }
        for look in looks {
            look(&self.ledger);
        }
        Ok(open)
    }

    fn serve(&mut self, attempt: ParsedCall, now_ms: u64) -> CallResult {
        let ParsedCall { operation, key, wish, mut ending } = attempt;
        let refused = matches!(&wish, CallTarget::Refused(RequestRefusal::Unavailable));
        let result = match wish {
            CallTarget::Refused(refusal) => Err(refusal),
            CallTarget::Do(request, when) => {
                let key = key.as_deref().expect("what is done has a key");
                match self.look_up_or_execute(key, &request, when, now_ms) {
                    None => return CallResult::Held,
                    Some(result) => result,
                }
            }
        };
        let (answer, executed, replayed) = match result {
            Ok(KeyLookup { answer, executed, lost }) => {
                if lost {
                    ending = CallEnding::Drop;
                }
                (answer, executed, !executed)
            }
            Err(refusal) => (refusal.answer(), false, false),
        };
        let (outcome, status) = match ending {
            CallEnding::Drop => (AttemptOutcome::Dropped, None),
            CallEnding::Error => {
                (AttemptOutcome::Errored, Some(RequestRefusal::Broken.answer().status))
            }
            CallEnding::Answer if refused => (AttemptOutcome::Refused, Some(answer.status)),
            CallEnding::Answer => (AttemptOutcome::Answered, Some(answer.status)),
        };
        let at_ms = now_ms;
        let attempted =
            AttemptedRecord { at_ms, operation, key, outcome, status, executed, replayed };
        self.take(JournalRecord::Attempt(attempted));
        CallResult::Done(CallEnd { answer, replayed, ending })
    }

    /// None when the key is held from now on.
    fn look_up_or_execute(
        &mut self,
        key: &str,
        request: &ApiRequest,
        when: ExecutionTime,
        now_ms: u64,
    ) -> Option<Result<KeyLookup, RequestRefusal>> {
        if when == ExecutionTime::AfterHold {
            self.ledger.release(key);
        }
        match self.ledger.standing(key, request) {
            KeyStanding::Kept(answer) => {
                Some(Ok(KeyLookup { answer, executed: false, lost: false }))
            }
            KeyStanding::Refused(refusal) => Some(Err(refusal)),
            KeyStanding::Fresh if when == ExecutionTime::Later => {
                self.ledger.hold(key.to_owned(), request.clone());
                None
            }
            KeyStanding::Fresh => Some(self.execute(key, request, now_ms)),
        }
    }

    fn execute(
        &mut self,
        key: &str,
        request: &ApiRequest,
        now_ms: u64,
    ) -> Result<KeyLookup, RequestRefusal> {
        let record = self.ledger.decide(key, request, now_ms)?;
        let lost =
            matches!(request, ApiRequest::Charge(charge) if charge.source == CardToken::Lost);
        self.take(record);
        let KeyStanding::Kept(answer) = self.ledger.standing(key, request) else {
            unreachable!("{key:?} was executed just now");
        };
        Ok(KeyLookup { answer, executed: true, lost })
    }

    /// Takes a record into the ledger and into the lines that the batch will write.
    fn take(&mut self, record: JournalRecord) {
        push_line(&mut self.lines, &record);
        self.ledger.apply(record);
    }
}

/// The stored answer of a key.
struct KeyLookup {
    answer: ApiAnswer,
    executed: bool,
    /// The answer of the attempt that executed it gets lost.
    lost: bool,
}
