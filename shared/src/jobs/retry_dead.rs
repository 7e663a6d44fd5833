//! Dead jobs that an operator retries or discards.

use futures_util::{FutureExt as _, future::BoxFuture};
use uuid::Uuid;

use super::{JobHandler, WorkerParts, settle::SETTLE_LIMIT, store};
use crate::{
    db,
    dead_letter::{
        Actor, Resolution, ResolutionError, RetryDeadJob,
        decisions::{self, DecisionOutcome, LetterAction},
        discard_job,
    },
};

impl<E: JobHandler> RetryDeadJob for WorkerParts<E> {
    fn redrive<'r>(
        &'r self,
        id: Uuid,
        by: &'r Actor,
    ) -> BoxFuture<'r, Result<Resolution, ResolutionError>> {
        async move {
            let limit = db::limit(&self.pool, SETTLE_LIMIT);
            let carried = db::within(limit, self.put_back(id, by)).await?;
            self.wakers.jobs.wake(E::KIND);
            Ok(carried)
        }
        .boxed()
    }

    fn discard<'r>(
        &'r self,
        id: Uuid,
        by: &'r Actor,
    ) -> BoxFuture<'r, Result<Resolution, ResolutionError>> {
        db::within(db::limit(&self.pool, SETTLE_LIMIT), self.delete(id, by)).boxed()
    }
}

impl<E: JobHandler> WorkerParts<E> {
    async fn put_back(&self, id: Uuid, by: &Actor) -> Result<Resolution, ResolutionError> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Resolution::NotOpen);
        };
        // The effect's locks are taken before the job's row, as when a job ends.
        if let Some(reason) = self.effect.never_again(&mut tx, &key).await? {
            return Err(ResolutionError::Refused(reason));
        }
        decisions::record(&mut tx, id, (LetterAction::Redrive, DecisionOutcome::PutBack), by)
            .await?;
        if store::revive(&mut tx, E::KIND, &key).await? == 0 {
            return Ok(Resolution::NotOpen);
        }
        tx.commit().await?;
        Ok(Resolution::PutBack)
    }

    async fn delete(&self, id: Uuid, by: &Actor) -> Result<Resolution, ResolutionError> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(key) = store::find_dead(&mut tx, E::KIND, id).await? else {
            return Ok(Resolution::NotOpen);
        };
        if let Some(reason) = self.effect.still_needed(&mut tx, &key).await? {
            return Err(ResolutionError::Needed(reason));
        }
        let carried = discard_job(&mut tx, id, by).await?;
        tx.commit().await?;
        Ok(carried)
    }
}
