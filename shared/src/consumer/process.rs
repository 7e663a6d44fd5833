//! Processing of a batch: all of it in one transaction, or nothing.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use tracing::Instrument as _;

use super::{
    BatchCounts, BatchProcessor, HandlerOutcome, MessageHandler, NewMessage,
    batch::{BatchEntry, EntryDisposition},
    failure_limit::{FailureCounter, FailureLimit},
};
use crate::{
    db,
    dead_letter::{self, DeadLetter, FailureReason, MessagePlace},
    effects::{DecisionEffects, SavedEffects},
    fault::{self, Fault},
    inbox::{self, Admission},
    message::{IncomingMessage, Message, TraceParent},
    telemetry::{
        messaging::{self, ProcessingCause},
        spans,
    },
};

/// A transaction of a batch is aborted after this long. Far below `max.poll.interval.ms`.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(30);

/// Messages of a batch are processed one by one for this long; the rest waits for the next pass.
const ISOLATE_LIMIT: Duration = Duration::from_secs(20);

/// The processed part of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchProgress {
    pub(super) counts: BatchCounts,
    /// This many messages from the beginning of the batch are processed.
    pub(super) upto: usize,
    /// The failure limit that ended it, if one did. Else the rest was not decoded in time.
    pub(super) limit: Option<FailureLimit>,
}

/// A transaction was rolled back: the message at this index would exceed a failure limit.
#[derive(Clone, Copy, Debug)]
struct TooMany {
    place: usize,
    limit: FailureLimit,
}

/// The result of one transaction that did not fail.
type BatchAttempt = Result<BatchProgress, TooMany>;

impl<H: MessageHandler> BatchProcessor<H> {
    /// Processes a batch: inbox, handler, dead letters and outbox in one transaction, all or
    /// nothing. A message at fault becomes a dead letter; a fault of no single message is returned.
    pub async fn process_batch(&self, batch: &[IncomingMessage]) -> Result<BatchCounts, Fault> {
        let mut entries = self.entries(batch.iter().cloned(), ProcessingCause::Log);
        if let (_, Some(fault)) = self.decode(&mut entries, ProcessingCause::Log).await {
            return Err(fault);
        }
        match self.commit(&mut entries, &mut FailureCounter::without_limits()).await? {
            Ok(progress) => Ok(progress.counts),
            Err(TooMany { .. }) => unreachable!("there is no limit"),
        }
    }

    /// Processes a batch, whatever messages it holds: only a transient fault is returned.
    pub async fn process_or_isolate(
        &self,
        batch: &[IncomingMessage],
    ) -> Result<BatchCounts, Fault> {
        let mut entries = self.entries(batch.iter().cloned(), ProcessingCause::Log);
        let (mut counts, mut rest) = (BatchCounts::default(), &mut entries[..]);
        while !rest.is_empty() {
            let failures = &mut FailureCounter::without_limits();
            let progress = self.process_within(rest, failures).await?;
            counts += progress.counts;
            rest = &mut rest[progress.upto..];
        }
        Ok(counts)
    }

    /// Processes a batch as far as the failure limits let it.
    pub(super) async fn process_within(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        failures: &mut FailureCounter,
    ) -> Result<BatchProgress, Fault> {
        match self.attempt(batch, failures).await {
            Ok(Ok(progress)) => Ok(progress),
            Ok(Err(TooMany { place: 0, limit })) => {
                Ok(BatchProgress { limit: Some(limit), ..BatchProgress::default() })
            }
            Ok(Err(TooMany { place, limit })) => {
                // The messages before that one are within the limits.
                let before = Box::pin(self.process_within(&mut batch[..place], failures)).await?;
                Ok(BatchProgress { limit: before.limit.or(Some(limit)), ..before })
            }
            Err(Fault::Poison(error)) => {
                tracing::warn!(
                    error = fault::chain(&*error),
                    messages = batch.len(),
                    "a batch failed for a reason of its own and is processed one by one"
                );
                self.process_one_by_one(batch, failures).await
            }
            Err(transient) => Err(transient),
        }
    }

    /// Processes a batch message by message, as long as the time limit allows; a message that fails
    /// alone becomes a dead letter.
    async fn process_one_by_one(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        failures: &mut FailureCounter,
    ) -> Result<BatchProgress, Fault> {
        let (mut progress, began) = (BatchProgress::default(), Instant::now());
        for entry in batch.chunks_mut(1) {
            if progress.upto > 0 && began.elapsed() > ISOLATE_LIMIT {
                break;
            }
            let alone = match self.attempt(entry, failures).await {
                Err(Fault::Poison(error)) => {
                    entry[0].reject(fault::chain(&*error));
                    self.commit(entry, failures).await?
                }
                attempt => attempt?,
            };
            match alone {
                Ok(alone) => {
                    progress.counts += alone.counts;
                    progress.upto += alone.upto;
                }
                Err(TooMany { limit, .. }) => {
                    progress.limit = Some(limit);
                    break;
                }
            }
        }
        Ok(progress)
    }

    /// Decodes and processes the messages that can be decoded now; a fault, if there are none.
    async fn attempt(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        failures: &mut FailureCounter,
    ) -> Result<BatchAttempt, Fault> {
        let span = span(batch);
        let attempt = async {
            match self.decode(batch, ProcessingCause::Log).await {
                (0, Some(fault)) => Err(fault),
                (upto, _rest_later) => self.commit(&mut batch[..upto], failures).await,
            }
        };
        attempt.instrument(span).await
    }

    /// The transaction of a batch, and the steps after its commit.
    async fn commit(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        failures: &mut FailureCounter,
    ) -> Result<BatchAttempt, Fault> {
        let began = spans::now();
        let transaction = self.transact(batch, failures);
        let saved = match within_limits(&self.pool, transaction).await? {
            Ok(saved) => saved,
            Err(too_many) => return Ok(Err(too_many)),
        };
        failures.note(batch.iter().map(|entry| &entry.disposition));
        self.wakers.after_commit(saved);
        let counts = tally(batch);
        count(self.service, counts);
        self.watch.note(
            self.service,
            batch.iter().filter(|entry| entry.is_new()).filter_map(BatchEntry::message),
            batch
                .iter()
                .filter(|entry| entry.disposition == EntryDisposition::Repeat)
                .filter_map(BatchEntry::message),
        );
        for entry in &*batch {
            let error = match &entry.disposition {
                EntryDisposition::New => None,
                EntryDisposition::Dead(reason, _) => Some(reason.code().to_owned()),
                EntryDisposition::Repeat => continue,
            };
            if let Some(message) = entry.message() {
                messaging::processed(self.service, message, (ProcessingCause::Log, began), error);
            }
        }
        Ok(Ok(BatchProgress { counts, upto: batch.len(), limit: None }))
    }

    async fn transact(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        failures: &FailureCounter,
    ) -> Result<Result<SavedEffects, TooMany>, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let mut effects = self.handle_new(&mut tx, batch).await?;
        mark_known_failures(&mut tx, batch).await?;
        let dispositions = batch.iter().map(|entry| &entry.disposition);
        if let Some((place, limit)) = failures.judge(dispositions) {
            tx.rollback().await?;
            return Ok(Err(TooMany { place, limit }));
        }
        let letters: Vec<DeadLetter<'_>> = batch.iter().filter_map(BatchEntry::letter).collect();
        let copies = dead_letter::keep(&mut tx, self.service, &self.clock, &letters).await?;
        effects.messages.extend(copies);
        let saved = effects.save(&mut tx, &self.wakers).await?;
        tx.commit().await?;
        Ok(Ok(saved))
    }

    /// Records the readable messages in the inbox, passes the new ones to the handler, and marks
    /// each message.
    pub(super) async fn handle_new(
        &self,
        conn: &mut PgConnection,
        batch: &mut [BatchEntry<H::Input>],
    ) -> Result<DecisionEffects, Fault> {
        batch.iter_mut().for_each(BatchEntry::reset);
        let places: Vec<usize> = (0..batch.len()).filter(|at| batch[*at].is_new()).collect();
        let messages: Vec<&Message> = places.iter().filter_map(|at| batch[*at].message()).collect();
        let admissions = inbox::admit(conn, &messages).await?;
        let mut new = Vec::with_capacity(places.len());
        for (at, admission) in places.into_iter().zip(admissions) {
            match admission {
                Admission::New => new.push(at),
                Admission::Repeat => batch[at].disposition = EntryDisposition::Repeat,
                Admission::ReusedId => {
                    let detail = "its ce_id was used before, for another message".to_owned();
                    batch[at].disposition = EntryDisposition::Dead(FailureReason::ReusedId, detail);
                }
            }
        }
        let decoded: Vec<_> = new
            .iter()
            .filter_map(|at| batch[*at].decoded())
            .map(|(message, input)| NewMessage { message, input })
            .collect();
        assert_eq!(decoded.len(), new.len(), "what is new was decoded");
        if decoded.is_empty() {
            return Ok(DecisionEffects::default());
        }
        let HandlerOutcome { effects, refused } = self.handler.handle(conn, &decoded).await?;
        // A dead message was not processed: its id stays free until it is.
        let ids: Vec<_> =
            refused.iter().map(|(nth, _)| decoded[*nth].message.envelope.id).collect();
        inbox::forget(conn, &ids).await?;
        for (nth, detail) in refused {
            batch[new[nth]].disposition =
                EntryDisposition::Dead(FailureReason::Contradiction, detail);
        }
        Ok(effects)
    }
}

/// Marks the known ones of a batch's dead messages as repeats: they have a letter already, or were
/// processed by software that could read them. Without dead messages no statement is sent.
async fn mark_known_failures<I>(
    conn: &mut PgConnection,
    batch: &mut [BatchEntry<I>],
) -> Result<(), sqlx::Error> {
    let dead: Vec<&BatchEntry<I>> = batch.iter().filter(|entry| entry.letter().is_some()).collect();
    if dead.is_empty() {
        return Ok(());
    }
    let places: Vec<MessagePlace> =
        dead.iter().map(|entry| MessagePlace::of(entry.incoming())).collect();
    let messages: Vec<&Message> = dead.iter().filter_map(|entry| entry.message()).collect();
    let processed = inbox::known(conn, &messages).await?;
    let letters: HashSet<MessagePlace> =
        dead_letter::known(conn, &places).await?.into_iter().collect();
    let mut places = places.into_iter();
    for entry in batch {
        if entry.letter().is_none() {
            continue;
        }
        let has_letter = places.next().is_some_and(|place| letters.contains(&place));
        let is_processed =
            entry.message().is_some_and(|message| processed.contains(&message.envelope.id));
        if has_letter || is_processed {
            entry.disposition = EntryDisposition::Repeat;
        }
    }
    Ok(())
}

/// Runs within its time limit; a panic is the batch's fault.
pub(super) async fn within_limits<T>(
    pool: &PgPool,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let work = AssertUnwindSafe(work)
        .catch_unwind()
        .map(|caught| caught.unwrap_or_else(|_panic| Err(Fault::poison("the handler panicked"))));
    db::within(db::limit(pool, TRANSACTION_LIMIT), work).await
}

/// The span for log lines of a batch. Only a message that is alone has one trace.
fn span<I>(batch: &[BatchEntry<I>]) -> tracing::Span {
    let trace_id = match batch {
        [alone] => alone.incoming().headers.trace().map(TraceParent::trace_id),
        _several => None,
    };
    tracing::info_span!("batch", messages = batch.len(), trace_id)
}

fn tally<I>(batch: &[BatchEntry<I>]) -> BatchCounts {
    let mut counts = BatchCounts::default();
    for entry in batch {
        *match entry.disposition {
            EntryDisposition::New => &mut counts.fresh,
            EntryDisposition::Repeat => &mut counts.repeats,
            EntryDisposition::Dead(..) => &mut counts.dead,
        } += 1;
    }
    counts
}

pub(super) fn count(service: &'static str, counts: BatchCounts) {
    let BatchCounts { fresh, repeats, dead } = counts;
    for (outcome, n) in [("fresh", fresh), ("repeat", repeats), ("dead", dead)] {
        metrics::counter!("consumer_messages_total", "service" => service, "outcome" => outcome)
            .increment(n as u64);
    }
}
