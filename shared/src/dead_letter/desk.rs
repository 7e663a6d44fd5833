//! Where an operator's decisions are carried out: the letters of one service, whatever they are.
//!
//! The operators' server is there before the rest of the service, so the desk begins empty, and
//! each part comes to it when it is started.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{By, unpublishable};
use crate::{db, fault::Fault, jobs};

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// No letter of that name is open.
    NotOpen,
    /// It failed again and stays where it is.
    StillDead {
        /// How often it has failed.
        attempts: i32,
        /// The code of the reason.
        reason: &'static str,
        /// What exactly is wrong.
        detail: String,
    },
    /// The letter is settled.
    Settled {
        /// How many that waited behind it were taken in.
        went_on: usize,
        /// How many still wait; the same call again lets more of them go on.
        left: i64,
        /// One that waited died in its turn; the rest waits behind it.
        now_behind: Option<String>,
    },
    /// The job, or the message that is to be published, is on its way again.
    PutBack,
}

impl Carried {
    /// The letter is settled, and nothing waited behind it.
    pub(crate) fn settled() -> Self {
        Self::Settled { went_on: 0, left: 0, now_behind: None }
    }
}

/// Why a decision cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service is not that far yet.
    #[error("the service is still starting")]
    NotYet,
    /// To try it again would do harm.
    #[error("it may not be tried again: {0}")]
    Refused(String),
    /// To end it would leave something open for good.
    #[error("it may not be discarded: {0}")]
    Needed(String),
    /// It failed for a reason that is not the letter's.
    #[error("the decision could not be carried out")]
    Fault(#[from] Fault),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// The road on which messages are taken in, for letters that are to go on or to go.
pub trait Road: Send + Sync {
    /// Takes the letter in, and then what waits behind it.
    fn redrive<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Fault>>;

    /// Settles the letter without taking it in, and lets go on what waits behind it.
    fn discard<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Fault>>;
}

/// The letters of one service. Clones are the same desk.
#[derive(Clone, Default)]
pub struct Desk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    pool: OnceLock<PgPool>,
    road: OnceLock<Arc<dyn Road>>,
    workers: RwLock<BTreeMap<&'static str, Arc<dyn jobs::Revive>>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("has_road", &self.0.road.get().is_some())
            .finish_non_exhaustive()
    }
}

/// Looking something up may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Settling the letter of a job, or of a record to be published, may take this long.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

impl Desk {
    /// The letters are in this database.
    pub fn open(&self, pool: PgPool) {
        super::audit::announce();
        self.0.pool.get_or_init(|| pool);
    }

    /// Messages are taken in by this road.
    pub fn set_road(&self, road: Arc<dyn Road>) {
        self.0.road.get_or_init(|| road);
    }

    /// Jobs of this kind are done by these workers.
    pub fn add_workers(&self, kind: &'static str, workers: Arc<dyn jobs::Revive>) {
        self.0.workers.write().unwrap_or_else(PoisonError::into_inner).insert(kind, workers);
    }

    /// Looks something up.
    pub async fn read<T>(
        &self,
        look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        Ok(db::read(self.pool()?, READ_LIMIT, look).await?)
    }

    /// Tries a letter again.
    pub async fn redrive(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        let Some(kind) = self.dead_job(id).await? else {
            if self.is_unpublishable(id).await? {
                let pool = self.pool()?;
                let limit = db::limit(pool, SETTLE_LIMIT);
                return db::within(limit, unpublishable::put_back(pool, id, by)).await;
            }
            return Ok(match self.0.road.get() {
                Some(road) => road.redrive(id, by).await?,
                None => Carried::NotOpen,
            });
        };
        let nobody = || Error::Refused(format!("nobody does {kind}"));
        self.workers(&kind).ok_or_else(nobody)?.put_back(id, by).await
    }

    /// Ends a letter without trying it again. The reason is kept.
    pub async fn discard(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        if let Some(kind) = self.dead_job(id).await? {
            if let Some(workers) = self.workers(&kind) {
                return workers.discard(id, by).await;
            }
            let pool = self.pool()?;
            let limit = db::limit(pool, SETTLE_LIMIT);
            return Ok(db::within(limit, jobs::discard(pool, id, by)).await?);
        }
        if self.is_unpublishable(id).await? {
            let pool = self.pool()?;
            let limit = db::limit(pool, SETTLE_LIMIT);
            return db::within(limit, unpublishable::discard(pool, id, by)).await;
        }
        match self.0.road.get() {
            Some(road) => Ok(road.discard(id, by).await?),
            None => Ok(Carried::NotOpen),
        }
    }

    /// Who does jobs of this kind.
    fn workers(&self, kind: &str) -> Option<Arc<dyn jobs::Revive>> {
        self.0.workers.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    fn pool(&self) -> Result<&PgPool, Error> {
        self.0.pool.get().ok_or(Error::NotYet)
    }

    async fn is_unpublishable(&self, id: Uuid) -> Result<bool, Error> {
        self.read(async |conn| unpublishable::is_one(conn, id).await).await
    }

    /// The kind of the dead job of this name.
    async fn dead_job(&self, id: Uuid) -> Result<Option<String>, Error> {
        self.read(async |conn| {
            sqlx::query_scalar(
                "SELECT topic FROM messaging.open_letter WHERE letter_id = $1 AND source = 'job'",
            )
            .bind(id)
            .fetch_optional(conn)
            .await
        })
        .await
    }
}
