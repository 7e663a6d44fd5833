//! Jobs that were given up, in the hands of an operator: tried again, or ended.

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Effect, Parts, settle::SETTLE_LIMIT, store};
use crate::{
    db,
    dead_letter::{
        By, Carried, Error,
        audit::{self, Action, Outcome},
    },
};

/// Those who do one kind of job, for jobs that are to be tried again.
pub trait Revive: Send + Sync {
    /// Puts the dead job of this name back, with fresh attempts.
    fn put_back<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>>;

    /// Ends the dead job of this name.
    fn discard<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>>;
}

impl<E: Effect> Revive for Parts<E> {
    fn put_back<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>> {
        async move {
            let limit = db::limit(&self.pool, SETTLE_LIMIT);
            let carried = db::within(limit, self.revive(id, by)).await?;
            self.wakers.jobs.notify_waiters();
            Ok(carried)
        }
        .boxed()
    }

    fn discard<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>> {
        db::within(db::limit(&self.pool, SETTLE_LIMIT), self.end(id, by)).boxed()
    }
}

impl<E: Effect> Parts<E> {
    async fn revive(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Carried::NotOpen);
        };
        // What the effect holds comes before the job's row, as for whoever settles.
        if let Some(reason) = self.effect.never_again(&mut tx, &key).await? {
            return Err(Error::Refused(reason));
        }
        audit::record(&mut tx, id, (Action::Redrive, Outcome::PutBack), by).await?;
        if store::revive(&mut tx, E::KIND, &key).await? == 0 {
            return Ok(Carried::NotOpen);
        }
        tx.commit().await?;
        Ok(Carried::PutBack)
    }

    async fn end(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Carried::NotOpen);
        };
        if let Some(reason) = self.effect.still_needed(&mut tx, &key).await? {
            return Err(Error::Needed(reason));
        }
        let carried = record_end(&mut tx, id, by).await?;
        tx.commit().await?;
        Ok(carried)
    }
}

/// Ends the dead job of this name, whose kind nobody does any more.
pub(crate) async fn discard(pool: &PgPool, id: Uuid, by: &By) -> Result<Carried, sqlx::Error> {
    let mut tx = db::begin(pool).await?;
    let carried = record_end(&mut tx, id, by).await?;
    tx.commit().await?;
    Ok(carried)
}

/// The decision is read off the row, so it is recorded before the row goes; a job that is not dead
/// has neither.
async fn record_end(conn: &mut PgConnection, id: Uuid, by: &By) -> Result<Carried, sqlx::Error> {
    audit::record(conn, id, (Action::Discard, Outcome::Discarded), by).await?;
    let ended = store::delete_dead(conn, id).await?;
    Ok(if ended == 0 { Carried::NotOpen } else { Carried::settled() })
}
