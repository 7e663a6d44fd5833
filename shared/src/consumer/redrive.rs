//! Redrive: a dead letter is processed like any other message, at any time, or it is discarded.
//!
//! Each decision is one transaction that locks the letter, so a second decision waits and then
//! finds the letter closed: of two concurrent or repeated redrives, one processes the message.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    BatchProcessor, MessageHandler,
    batch::{BatchEntry, EntryDisposition},
    process::within_limits,
};
use crate::{
    backoff::BackoffSchedule,
    db,
    dead_letter::{
        Actor, FailureReason, MessagePlace, Resolution, RetryDeadMessage,
        decisions::{self, DecisionOutcome, LetterAction},
        resolve::{self, LetterEnd},
        store::{LetterHeaders, copy},
    },
    effects::DecisionEffects,
    fault::{self, Fault},
    inbox,
    lifecycle::InfallibleResult,
    telemetry::{messaging, spans},
};

/// Parked letters are read this many at a time.
const PARKED_MAX: i64 = 100;
/// Reading them may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

impl<H: MessageHandler> RetryDeadMessage for BatchProcessor<H> {
    fn redrive<'r>(&'r self, id: Uuid, by: &'r Actor) -> BoxFuture<'r, Result<Resolution, Fault>> {
        async move {
            match within_limits(&self.pool, self.redrive_letter(id, by)).await {
                // The transaction is rolled back; a second transaction records the failure.
                Err(Fault::Poison(error)) => {
                    let failure = (FailureReason::Unprocessable, fault::chain(&*error));
                    self.record_failure(id, failure, by).await
                }
                carried_or_transient => carried_or_transient,
            }
        }
        .boxed()
    }

    fn discard<'r>(&'r self, id: Uuid, by: &'r Actor) -> BoxFuture<'r, Result<Resolution, Fault>> {
        within_limits(&self.pool, self.discard_letter(id, by)).boxed()
    }
}

impl<H: MessageHandler> BatchProcessor<H> {
    /// Redrives the letters that an earlier version of this software had parked behind others,
    /// oldest first, once; then waits to be stopped. A letter that fails again stays open with the
    /// reason of that failure.
    pub async fn redrive_parked(self: Arc<Self>, stop: CancellationToken) -> InfallibleResult {
        let (backoff, mut failures) = (BackoffSchedule::hold(), 0);
        while let Some(outcome) = stop.run_until_cancelled(self.redrive_some_parked()).await {
            match outcome {
                Ok(0) => break,
                Ok(_some) => failures = 0,
                Err(fault) => {
                    let error = fault::chain(&fault);
                    tracing::warn!(error, "parked messages cannot be redriven now");
                    failures += 1;
                    let wait = tokio::time::sleep(backoff.delay(failures));
                    stop.run_until_cancelled(wait).await;
                }
            }
        }
        stop.cancelled().await;
        Ok(())
    }

    /// Redrives some of these letters; answers how many.
    async fn redrive_some_parked(&self) -> Result<usize, Fault> {
        let letters =
            db::read(&self.pool, READ_LIMIT, async |conn| resolve::parked(conn, PARKED_MAX).await)
                .await?;
        let by = Actor::upgrade();
        for id in &letters {
            let carried = self.redrive(*id, &by).await?;
            tracing::info!(letter = %id, ?carried, "parked message redriven");
        }
        Ok(letters.len())
    }

    async fn redrive_letter(&self, id: Uuid, by: &Actor) -> Result<Resolution, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(incoming) = resolve::hold(&mut tx, id).await? else {
            return Ok(Resolution::NotOpen);
        };
        let began = spans::now();
        let mut letter = self.entries([incoming], messaging::ProcessingCause::Redrive);
        if let (_, Some(fault)) =
            self.decode(&mut letter, messaging::ProcessingCause::Redrive).await
        {
            return Err(fault);
        }
        let effects = self.handle_new(&mut tx, &mut letter).await?;
        if let EntryDisposition::Dead(reason, detail) = &letter[0].disposition {
            // Writes of the handler before it refused are rolled back with this transaction.
            tx.rollback().await?;
            return self.record_failure(id, (*reason, detail.clone()), by).await;
        }
        let by = letter[0].read_by().map_or_else(|| by.clone(), |read_by| by.noting(read_by));
        decisions::record(&mut tx, id, (LetterAction::Redrive, DecisionOutcome::Processed), &by)
            .await?;
        resolve::settle(&mut tx, id, LetterEnd::Redriven).await?;
        let saved = effects.save(&mut tx, &self.wakers).await?;
        tx.commit().await?;
        self.wakers.after_commit(saved);
        self.trace(&letter[0], began);
        Ok(Resolution::Settled)
    }

    /// Counts another failure of a letter, and logs it.
    async fn record_failure(
        &self,
        id: Uuid,
        (reason, detail): (FailureReason, String),
        by: &Actor,
    ) -> Result<Resolution, Fault> {
        let work = async {
            let mut tx = db::begin(&self.pool).await?;
            let Some(incoming) = resolve::hold(&mut tx, id).await? else {
                return Ok(Resolution::NotOpen);
            };
            decisions::record(&mut tx, id, (LetterAction::Redrive, DecisionOutcome::StillDead), by)
                .await?;
            let attempts = resolve::fail_again(&mut tx, id, (reason, &detail)).await?;
            let died = LetterHeaders { id, reason, detail: &detail, attempts };
            let messages = vec![copy(self.service, &died, &incoming)];
            let effects = DecisionEffects { messages, ..DecisionEffects::default() };
            let saved = effects.save(&mut tx, &self.wakers).await?;
            tx.commit().await?;
            self.wakers.after_commit(saved);
            let reason = reason.code().to_owned();
            Ok(Resolution::StillDead { attempts, reason, detail: detail.clone() })
        };
        within_limits(&self.pool, work).await
    }

    /// Closes the letter without processing it: its id is recorded in the inbox, so that another
    /// copy of the message has no effect either.
    async fn discard_letter(&self, id: Uuid, by: &Actor) -> Result<Resolution, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(incoming) = resolve::hold(&mut tx, id).await? else {
            return Ok(Resolution::NotOpen);
        };
        decisions::record(&mut tx, id, (LetterAction::Discard, DecisionOutcome::Discarded), by)
            .await?;
        if let Some(message) = BatchEntry::<H::Input>::parse(incoming).message() {
            inbox::admit(&mut tx, &[message]).await?;
        }
        resolve::settle(&mut tx, id, LetterEnd::Discarded).await?;
        tx.commit().await?;
        Ok(Resolution::Settled)
    }

    fn trace(&self, letter: &BatchEntry<H::Input>, began: SystemTime) {
        let Some(message) = letter.message() else { return };
        if let Some(read_by) = letter.read_by() {
            let MessagePlace { topic, partition, offset, .. } = MessagePlace::of(&message.incoming);
            tracing::warn!(topic, partition, offset, read_by, "redriven, not by its schema id");
        }
        messaging::processed(
            self.service,
            message,
            (messaging::ProcessingCause::Redrive, began),
            None,
        );
    }
}
