//! Decisions of operators about the dead letters of one service, dispatched to consumer or workers.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Actor, Resolution, ResolutionError,
    decisions::{self, DecisionOutcome, LetterAction},
    unpublishable,
};
use crate::{db, fault::Fault};

/// Processes dead messages: the consumer.
pub trait RetryDeadMessage: Send + Sync {
    /// Processes the message like any other.
    fn redrive<'r>(&'r self, id: Uuid, by: &'r Actor) -> BoxFuture<'r, Result<Resolution, Fault>>;

    /// Closes the letter without processing the message.
    fn discard<'r>(&'r self, id: Uuid, by: &'r Actor) -> BoxFuture<'r, Result<Resolution, Fault>>;
}

/// Retries dead jobs of one kind: their workers.
pub trait RetryDeadJob: Send + Sync {
    /// Puts the dead job of this id back, with fresh attempts.
    fn redrive<'r>(
        &'r self,
        id: Uuid,
        by: &'r Actor,
    ) -> BoxFuture<'r, Result<Resolution, ResolutionError>>;

    /// Deletes the dead job of this id.
    fn discard<'r>(
        &'r self,
        id: Uuid,
        by: &'r Actor,
    ) -> BoxFuture<'r, Result<Resolution, ResolutionError>>;
}

/// The dead letters of one service.
#[derive(Clone)]
pub struct DeadLetterAdmin {
    /// The service's database, which holds the letters.
    pub pool: PgPool,
    /// The processor of messages; none in a service that reads no topic.
    pub messages: Option<Arc<dyn RetryDeadMessage>>,
    /// The workers of jobs, by their kind.
    pub jobs: BTreeMap<&'static str, Arc<dyn RetryDeadJob>>,
}

impl fmt::Debug for DeadLetterAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs: Vec<_> = self.jobs.keys().collect();
        f.debug_struct("DeadLetterAdmin").field("jobs", &jobs).finish_non_exhaustive()
    }
}

/// The time limit for reading letters.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// The time limit for resolving the letter of a job, or of a message for the outbox.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// The subject of a dead letter.
enum LetterSource {
    Job(String),
    Unpublishable,
    Message,
}

impl DeadLetterAdmin {
    /// Decides about letters in this database; neither messages nor jobs can be retried yet.
    pub fn new(pool: PgPool) -> Self {
        decisions::announce();
        Self { pool, messages: None, jobs: BTreeMap::new() }
    }

    /// Runs one read of letters, with the time limit of operators' requests.
    pub async fn read<T>(
        &self,
        query: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, ResolutionError> {
        Ok(db::read(&self.pool, READ_LIMIT, query).await?)
    }

    /// Tries a letter again.
    pub async fn redrive(&self, id: Uuid, by: &Actor) -> Result<Resolution, ResolutionError> {
        match (self.source(id).await?, &self.messages) {
            (LetterSource::Job(kind), _) => {
                let nobody =
                    || ResolutionError::Refused(format!("this service has no workers for {kind}"));
                self.jobs.get(&*kind).ok_or_else(nobody)?.redrive(id, by).await
            }
            (LetterSource::Unpublishable, _) => {
                self.within_limit(unpublishable::put_back(&self.pool, id, by)).await
            }
            (LetterSource::Message, Some(messages)) => Ok(messages.redrive(id, by).await?),
            (LetterSource::Message, None) => Ok(Resolution::NotOpen),
        }
    }

    /// Closes a letter without trying it again. The reason is recorded.
    pub async fn discard(&self, id: Uuid, by: &Actor) -> Result<Resolution, ResolutionError> {
        match (self.source(id).await?, &self.messages) {
            (LetterSource::Job(kind), _) => match self.jobs.get(&*kind) {
                Some(jobs) => jobs.discard(id, by).await,
                None => self.within_limit(self.discard_orphan(id, by)).await,
            },
            (LetterSource::Unpublishable, _) => {
                self.within_limit(unpublishable::discard(&self.pool, id, by)).await
            }
            (LetterSource::Message, Some(messages)) => Ok(messages.discard(id, by).await?),
            (LetterSource::Message, None) => Ok(Resolution::NotOpen),
        }
    }

    async fn within_limit(
        &self,
        work: impl Future<Output = Result<Resolution, ResolutionError>>,
    ) -> Result<Resolution, ResolutionError> {
        db::within(db::limit(&self.pool, RESOLVE_LIMIT), work).await
    }

    /// Deletes a dead job of a kind that no worker of this service does any more.
    async fn discard_orphan(&self, id: Uuid, by: &Actor) -> Result<Resolution, ResolutionError> {
        let mut tx = db::begin(&self.pool).await?;
        let carried = discard_job(&mut tx, id, by).await?;
        tx.commit().await?;
        Ok(carried)
    }

    async fn source(&self, id: Uuid) -> Result<LetterSource, ResolutionError> {
        let row: Option<(String, String, bool)> = self
            .read(async |conn| {
                sqlx::query_as(
                    "SELECT source, topic, reason = 'unpublishable'
                     FROM messaging.open_letter WHERE letter_id = $1",
                )
                .bind(id)
                .fetch_optional(conn)
                .await
            })
            .await?;
        Ok(match row {
            Some((source, kind, _)) if source == "job" => LetterSource::Job(kind),
            Some((_, _, true)) => LetterSource::Unpublishable,
            _message => LetterSource::Message,
        })
    }
}

/// Deletes a dead job. The decision is recorded before the row is deleted, since it is copied from
/// the row; a job that is not dead has neither.
pub(crate) async fn discard_job(
    conn: &mut PgConnection,
    id: Uuid,
    by: &Actor,
) -> Result<Resolution, sqlx::Error> {
    decisions::record(conn, id, (LetterAction::Discard, DecisionOutcome::Discarded), by).await?;
    let deleted = sqlx::query(
        "DELETE FROM messaging.job
         WHERE state = 'dead' AND md5(kind || '/' || key)::uuid = $1",
    )
    .bind(id)
    .execute(conn)
    .await?;
    Ok(if deleted.rows_affected() == 0 { Resolution::NotOpen } else { Resolution::Settled })
}
