//! Jobs that were given up, in the hands of an operator: retried or discarded.

use futures_util::{FutureExt as _, future::BoxFuture};
use uuid::Uuid;

use super::{Effect, Parts, settle::SETTLE_LIMIT, store};
use crate::{
    db,
    dead_letter::{
        By, Carried, Error, RetryDeadJob,
        audit::{self, Action, Outcome},
        discard_job,
    },
};

impl<E: Effect> RetryDeadJob for Parts<E> {
    fn redrive<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>> {
        async move {
            let limit = db::limit(&self.pool, SETTLE_LIMIT);
            let carried = db::within(limit, self.put_back(id, by)).await?;
            self.wakers.jobs.notify_waiters();
            Ok(carried)
        }
        .boxed()
    }

    fn discard<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Error>> {
        db::within(db::limit(&self.pool, SETTLE_LIMIT), self.delete(id, by)).boxed()
    }
}

impl<E: Effect> Parts<E> {
    async fn put_back(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Carried::NotOpen);
        };
        // What the effect locks comes before the job's row, as when a job ends.
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

    async fn delete(&self, id: Uuid, by: &By) -> Result<Carried, Error> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Carried::NotOpen);
        };
        if let Some(reason) = self.effect.still_needed(&mut tx, &key).await? {
            return Err(Error::Needed(reason));
        }
        let carried = discard_job(&mut tx, id, by).await?;
        tx.commit().await?;
        Ok(carried)
    }
}
