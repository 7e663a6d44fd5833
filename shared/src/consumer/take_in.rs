//! Taking a batch in: one transaction, or none.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use tracing::Instrument as _;

use super::{
    Handled, Handler, Parts, Taken, TakenIn,
    guard::{Fate, Guard, Limit},
    opening::Opened,
    sorted::Sorted,
};
use crate::{
    db,
    dead_letter::{self, Reason},
    effects::Effects,
    fault::{self, Fault},
    inbox,
    message::{Incoming, Message, TraceParent},
    telemetry::{
        messaging::{self, By},
        spans,
    },
};

/// A transaction of a batch is given up after this long. Far below `max.poll.interval.ms`.
const TAKE_IN_LIMIT: Duration = Duration::from_secs(30);

/// A batch is taken in one by one for this long; the rest is left for the next pass.
const ISOLATE_LIMIT: Duration = Duration::from_secs(20);

/// What an attempt at a batch came to.
#[derive(Debug)]
pub(super) enum Attempt {
    /// So many messages from its beginning are taken in, at least one.
    Upto(usize, TakenIn),
    /// Nothing is: this one would be a dead letter too many.
    TooMany(usize, Limit),
}

/// How far a batch was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progressed {
    pub(super) taken: TakenIn,
    /// So many messages from its beginning are settled.
    pub(super) upto: usize,
    /// Which limit of the guard it ends before, if it does. Else the rest was not read in time.
    pub(super) limit: Option<Limit>,
}

/// Messages that went through the handler.
#[derive(Debug, Default)]
pub(super) struct Took {
    pub(super) effects: Effects,
    pub(super) repeats: Vec<usize>,
    /// Those that cannot be taken in, by their places.
    pub(super) refused: Vec<(usize, Reason, String)>,
}

impl<H: Handler> Parts<H> {
    /// Takes a batch in: inbox, handler, dead letters and outbox in one transaction, all or
    /// nothing. A message at fault is dead; a fault that cannot be pinned on one is returned.
    pub async fn take_in(&self, batch: &[Incoming]) -> Result<TakenIn, Fault> {
        let opened = match self.open(batch, By::Log).await {
            (opened, None) => opened,
            (_, Some(fault)) => return Err(fault),
        };
        match self.attempt_opened(&opened, &mut Guard::without_limits()).await? {
            Attempt::Upto(_, taken) => Ok(taken),
            Attempt::TooMany(..) => unreachable!("there is no limit"),
        }
    }

    /// Takes a batch in, whatever it holds: only a transient fault comes back.
    pub async fn take_in_or_isolate(&self, batch: &[Incoming]) -> Result<TakenIn, Fault> {
        let (mut taken, mut rest) = (TakenIn::default(), batch);
        while !rest.is_empty() {
            let progressed = self.take_in_within(rest, &mut Guard::without_limits()).await?;
            taken += progressed.taken;
            rest = &rest[progressed.upto..];
        }
        Ok(taken)
    }

    /// Takes a batch in as far as the guard lets it.
    pub(super) async fn take_in_within(
        &self,
        batch: &[Incoming],
        guard: &mut Guard,
    ) -> Result<Progressed, Fault> {
        if batch.is_empty() {
            return Ok(Progressed::default());
        }
        match self.attempt(batch, guard).await {
            Ok(Attempt::Upto(upto, taken)) => Ok(Progressed { taken, upto, limit: None }),
            Ok(Attempt::TooMany(index, limit)) => {
                // What comes before is in order, as far as the guard is concerned.
                let before = Box::pin(self.take_in_within(&batch[..index], guard)).await?;
                Ok(Progressed { limit: before.limit.or(Some(limit)), ..before })
            }
            Err(Fault::Poison(error)) => {
                tracing::warn!(
                    error = fault::chain(&*error),
                    messages = batch.len(),
                    "a batch failed for a reason of its own and is taken in one by one"
                );
                self.take_in_one_by_one(batch, guard).await
            }
            Err(transient) => Err(transient),
        }
    }

    /// Takes a batch in message by message, for as long as the limit lets it; one that fails alone
    /// becomes a dead letter.
    async fn take_in_one_by_one(
        &self,
        batch: &[Incoming],
        guard: &mut Guard,
    ) -> Result<Progressed, Fault> {
        let (mut progressed, began) = (Progressed::default(), Instant::now());
        for incoming in batch {
            if progressed.upto > 0 && began.elapsed() > ISOLATE_LIMIT {
                break;
            }
            let attempt = match self.attempt(std::slice::from_ref(incoming), guard).await {
                Err(Fault::Poison(error)) => {
                    self.bury(incoming, fault::chain(&*error), guard).await?
                }
                attempt => attempt?,
            };
            match attempt {
                Attempt::Upto(upto, taken) => {
                    progressed.taken += taken;
                    progressed.upto += upto;
                }
                Attempt::TooMany(_, limit) => {
                    progressed.limit = Some(limit);
                    break;
                }
            }
        }
        Ok(progressed)
    }

    async fn attempt(&self, batch: &[Incoming], guard: &mut Guard) -> Result<Attempt, Fault> {
        let attempt = async {
            match self.open(batch, By::Log).await {
                (opened, Some(fault)) if opened.is_empty() => Err(fault),
                (opened, _rest_later) => self.attempt_opened(&opened, guard).await,
            }
        };
        attempt.instrument(span(batch)).await
    }

    /// Makes a dead letter of a message that cannot be taken in even alone.
    async fn bury(
        &self,
        incoming: &Incoming,
        detail: String,
        guard: &mut Guard,
    ) -> Result<Attempt, Fault> {
        let mut opened = self.read_as_ours::<H::Input>(incoming, By::Log);
        opened.body = Err((Reason::Unprocessable, detail));
        self.attempt_opened(std::slice::from_ref(&opened), guard).await
    }

    async fn attempt_opened(
        &self,
        opened: &[Opened<'_, H::Input>],
        guard: &mut Guard,
    ) -> Result<Attempt, Fault> {
        let outcome = within_limits(&self.pool, self.transact(opened, guard)).await?;
        let (taken, effects, fates) = match outcome {
            Ok(outcome) => outcome,
            Err((index, limit)) => return Ok(Attempt::TooMany(index, limit)),
        };
        guard.note(&fates);
        self.wakers.wake(&effects);
        count(self.service, taken);
        Ok(Attempt::Upto(opened.len(), taken))
    }

    /// The transaction of a batch; nothing of it stays if the guard says that it is too much.
    async fn transact(
        &self,
        opened: &[Opened<'_, H::Input>],
        guard: &Guard,
    ) -> Result<Result<Committed, (usize, Limit)>, Fault> {
        let began = spans::now();
        let mut tx = db::begin(&self.pool).await?;
        let mut sorted = Sorted::sort(&mut tx, opened).await?;
        let flows_at = sorted.flows.clone();
        let flows: Vec<&Opened<'_, _>> = flows_at.iter().map(|it| &opened[*it]).collect();
        let Took { mut effects, repeats, refused } = self.take(&mut tx, &flows).await?;
        sorted.refuse(&mut tx, opened, refused).await?;
        sorted.repeat(&repeats.iter().map(|it| flows_at[*it]).collect::<Vec<_>>());

        let fates = sorted.fates(opened.len());
        if let Some(too_many) = guard.judge(&fates) {
            tx.rollback().await?;
            return Ok(Err(too_many));
        }
        let letters = sorted.letters();
        let copies = dead_letter::keep(&mut tx, self.service, &self.clock, &letters).await?;
        effects.messages.extend(copies);
        dead_letter::lane::park(&mut tx, &sorted.waiting(opened)).await?;
        effects.save(&mut tx).await?;
        tx.commit().await?;
        let read = |index: &usize| opened[*index].message.as_ref();
        let repeats = sorted.repeats.iter().filter_map(read);
        self.watch.note(self.service, sorted.flows.iter().filter_map(read), repeats);
        for (message, error) in sorted.worked_on(opened) {
            messaging::processed(self.service, message, (By::Log, began), error);
        }
        let count = |fate| fates.iter().filter(|it| **it == fate).count();
        let taken = TakenIn {
            fresh: count(Fate::Fresh),
            repeats: sorted.repeats.len(),
            dead: count(Fate::Dead),
            parked: sorted.parked.len(),
        };
        Ok(Ok((taken, effects, fates)))
    }

    /// Admits messages that can be read, and hands the new ones to the handler.
    pub(super) async fn take(
        &self,
        conn: &mut PgConnection,
        flows: &[&Opened<'_, H::Input>],
    ) -> Result<Took, Fault> {
        let read: Vec<(&Message, &H::Input)> = flows
            .iter()
            .filter_map(|it| Some((it.message.as_ref()?, it.body.as_ref().ok()?)))
            .collect();
        assert_eq!(read.len(), flows.len(), "what flows was read");
        if read.is_empty() {
            return Ok(Took::default());
        }
        let messages: Vec<&Message> = read.iter().map(|(message, _)| *message).collect();
        let admitted = inbox::admit(conn, &messages).await?;
        let mut refused = Vec::new();
        for index in admitted.imposters {
            let detail = "its ce_id was used before, for another message".to_owned();
            refused.push((index, Reason::Imposter, detail));
        }
        let batch: Vec<_> = admitted
            .fresh
            .iter()
            .map(|index| Taken { message: read[*index].0, input: read[*index].1 })
            .collect();
        let handled = if batch.is_empty() {
            Handled::default()
        } else {
            self.handler.handle(conn, &batch).await?
        };
        for (place, detail) in handled.refused {
            refused.push((admitted.fresh[place], Reason::Contradiction, detail));
        }
        // What is dead was not taken in: its id is free for the day on which it is.
        let ids = refused.iter().filter(|(_, reason, _)| *reason == Reason::Contradiction);
        let ids: Vec<_> = ids.map(|(index, ..)| messages[*index].envelope.id).collect();
        inbox::forget(conn, &ids).await?;
        Ok(Took { effects: handled.effects, repeats: admitted.repeats, refused })
    }
}

/// What a transaction left behind.
type Committed = (TakenIn, Effects, Vec<Fate>);

/// Within its limit of time; a panic is the batch's fault.
pub(super) async fn within_limits<T>(
    pool: &PgPool,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let work = AssertUnwindSafe(work)
        .catch_unwind()
        .map(|caught| caught.unwrap_or_else(|_panic| Err(Fault::poison("the handler panicked"))));
    db::within(db::limit(pool, TAKE_IN_LIMIT), work).await
}

/// What log lines of a batch stand under. Only a message that is alone has one trace.
fn span(batch: &[Incoming]) -> tracing::Span {
    let trace_id = match batch {
        [alone] => alone.headers.trace().map(TraceParent::trace_id),
        _ => None,
    };
    tracing::info_span!("batch", messages = batch.len(), trace_id)
}

pub(super) fn count(service: &'static str, taken: TakenIn) {
    let TakenIn { fresh, repeats, dead, parked } = taken;
    for (outcome, n) in [("fresh", fresh), ("repeat", repeats), ("dead", dead), ("parked", parked)]
    {
        metrics::counter!("consumer_messages_total", "service" => service, "outcome" => outcome)
            .increment(n as u64);
    }
}
