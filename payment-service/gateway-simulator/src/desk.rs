//! The desk: the one thread that decides, writes and answers.
//!
//! It takes what has come up in the meantime as one batch: decides each attempt against the ledger
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
    api::{Card, Operation, Request, answer::Answer, refusal::Refusal},
    clock,
    faults::Ending,
    journal::{self, Attempted, Forgot, Journal, Outcome, Record, push_line},
    ledger::{Ledger, Standing},
};

/// How many commands wait at the desk before callers have to wait outside.
const QUEUE_MAX: usize = 1_024;
const BATCH_MAX: usize = 512;

/// The desk is closed, because the gateway stops.
#[derive(Debug, thiserror::Error)]
#[error("the desk is closed")]
pub(crate) struct Closed;

/// One call, as far as it was understood.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) operation: Operation,
    pub(crate) key: Option<String>,
    pub(crate) wish: Wish,
    pub(crate) ending: Ending,
}

/// What an attempt wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// To be noted only: it was turned away before it came here.
    Refused(Refusal),
    /// To be done.
    Do(Request, When),
}

/// When a request is to be executed, if it has not been yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now,
    /// Later: until then the key is held, and nobody else may.
    Later,
    /// Now that its time has come; ends the hold.
    AfterHold,
}

/// What an attempt gets.
#[derive(Debug)]
pub(crate) enum Served {
    /// The key is held; settle it.
    Held,
    /// The end of it.
    Done(Reply),
}

/// The end of an attempt.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) replayed: bool,
    pub(crate) ending: Ending,
}

enum Command {
    Attempt(Attempt, oneshot::Sender<Served>),
    Look(Box<dyn FnOnce(&Ledger) + Send>),
    Forget(oneshot::Sender<()>),
    Close,
}

/// The door to the desk.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    commands: mpsc::Sender<Command>,
}

/// Told once when the desk has ended.
pub(crate) type Ended = oneshot::Receiver<Result<(), journal::Error>>;

/// Opens the desk; however it ends, it stops the gateway.
pub(crate) fn open(
    journal: Journal,
    ledger: Ledger,
    stop: CancellationToken,
) -> io::Result<(Desk, Ended)> {
    let (commands, inbox) = mpsc::channel(QUEUE_MAX);
    let (end, ended) = oneshot::channel();
    let mut clerk = Clerk { journal, ledger, lines: Vec::new() };
    thread::Builder::new().name("desk".to_owned()).spawn(move || {
        let _stop = stop.drop_guard();
        let result = clerk.run(inbox);
        // Whoever waits for the end may have given up; the process ends either way.
        drop(end.send(result));
    })?;
    Ok((Desk { commands }, ended))
}

impl Desk {
    /// Serves an attempt; once it has been handed in, it is served even if nobody waits.
    pub(crate) async fn attempt(&self, attempt: Attempt) -> Result<Served, Closed> {
        let (reply, served) = oneshot::channel();
        self.send(Command::Attempt(attempt, reply)).await?;
        served.await.or(Err(Closed))
    }

    /// Looks at the ledger.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (reply, seen) = oneshot::channel();
        let look = move |ledger: &Ledger| drop(reply.send(look(ledger)));
        self.send(Command::Look(Box::new(look))).await?;
        seen.await.or(Err(Closed))
    }

    /// Forgets all keys.
    pub(crate) async fn forget_keys(&self) -> Result<(), Closed> {
        let (reply, forgotten) = oneshot::channel();
        self.send(Command::Forget(reply)).await?;
        forgotten.await.or(Err(Closed))
    }

    /// Ends the desk after what is already waiting.
    pub(crate) async fn close(&self) {
        // Closed already is as good.
        drop(self.send(Command::Close).await);
    }

    async fn send(&self, command: Command) -> Result<(), Closed> {
        self.commands.send(command).await.or(Err(Closed))
    }
}

struct Clerk {
    journal: Journal,
    ledger: Ledger,
    lines: Vec<u8>,
}

impl Clerk {
    fn run(&mut self, mut inbox: mpsc::Receiver<Command>) -> Result<(), journal::Error> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut open = true;
        while open && inbox.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            open = self.serve_batch(&mut batch)?;
        }
        Ok(())
    }

    /// Answers whether the desk stays open.
    fn serve_batch(&mut self, batch: &mut Vec<Command>) -> Result<bool, journal::Error> {
        let now_ms = clock::now_ms();
        let (mut served, mut looks, mut open) = (Vec::with_capacity(batch.len()), Vec::new(), true);
        let mut forgotten = Vec::new();
        for command in batch.drain(..) {
            match command {
                Command::Attempt(attempt, reply) => {
                    served.push((reply, self.serve(attempt, now_ms)));
                }
                Command::Look(look) => looks.push(look),
                Command::Forget(reply) => {
                    self.take(Record::Forgot(Forgot { at_ms: now_ms }));
                    forgotten.push(reply);
                }
                Command::Close => open = false,
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

    fn serve(&mut self, attempt: Attempt, now_ms: u64) -> Served {
        let Attempt { operation, key, wish, mut ending } = attempt;
        let refused = matches!(&wish, Wish::Refused(Refusal::Unavailable));
        let result = match wish {
            Wish::Refused(refusal) => Err(refusal),
            Wish::Do(request, when) => {
                let key = key.as_deref().expect("what is done has a key");
                match self.look_up_or_execute(key, &request, when, now_ms) {
                    None => return Served::Held,
                    Some(result) => result,
                }
            }
        };
        let (answer, executed, replayed) = match result {
            Ok(Found { answer, executed, lost }) => {
                if lost {
                    ending = Ending::Drop;
                }
                (answer, executed, !executed)
            }
            Err(refusal) => (refusal.answer(), false, false),
        };
        let (outcome, status) = match ending {
            Ending::Drop => (Outcome::Dropped, None),
            Ending::Error => (Outcome::Errored, Some(Refusal::Broken.answer().status)),
            Ending::Answer if refused => (Outcome::Refused, Some(answer.status)),
            Ending::Answer => (Outcome::Answered, Some(answer.status)),
        };
        let at_ms = now_ms;
        let attempted = Attempted { at_ms, operation, key, outcome, status, executed, replayed };
        self.take(Record::Attempt(attempted));
        Served::Done(Reply { answer, replayed, ending })
    }

    /// None when the key is held from now on.
    fn look_up_or_execute(
        &mut self,
        key: &str,
        request: &Request,
        when: When,
        now_ms: u64,
    ) -> Option<Result<Found, Refusal>> {
        if when == When::AfterHold {
            self.ledger.release(key);
        }
        match self.ledger.standing(key, request) {
            Standing::Kept(answer) => Some(Ok(Found { answer, executed: false, lost: false })),
            Standing::Refused(refusal) => Some(Err(refusal)),
            Standing::Fresh if when == When::Later => {
                self.ledger.hold(key.to_owned(), request.clone());
                None
            }
            Standing::Fresh => Some(self.execute(key, request, now_ms)),
        }
    }

    fn execute(&mut self, key: &str, request: &Request, now_ms: u64) -> Result<Found, Refusal> {
        let record = self.ledger.decide(key, request, now_ms)?;
        let lost = matches!(request, Request::Charge(charge) if charge.source == Card::Lost);
        self.take(record);
        let Standing::Kept(answer) = self.ledger.standing(key, request) else {
            unreachable!("{key:?} was executed just now");
        };
        Ok(Found { answer, executed: true, lost })
    }

    /// Takes a record into the ledger and into the lines that the batch will write.
    fn take(&mut self, record: Record) {
        push_line(&mut self.lines, &record);
        self.ledger.apply(record);
    }
}

/// What a key is answered.
struct Found {
    answer: Answer,
    executed: bool,
    /// The answer of the attempt that executed it gets lost.
    lost: bool,
}
