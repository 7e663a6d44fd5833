//! A dead letter goes on by the road of every message, or goes; then what waits behind it.
//!
//! Each step is a transaction that holds the letter alone, so whoever comes second waits and then
//! finds it done: two redrivers, or one that is asked again after it was cut off, take in once. A
//! consumer that would park behind the letter waits, too, and then sees an open lane.
//!
//! **Architecture invariant:** a lane stays closed until nothing waits in it. Only then is its letter
//! closed, in the transaction that finds the lane empty.

use std::time::SystemTime;

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Handler, Parts,
    opening::Opened,
    take_in::{Took, within_limits},
};
use crate::{
    db,
    dead_letter::{
        self, By, Carried, DeadLetter, Lane, Place, Reason, Road,
        audit::{self, Action, Outcome},
        keep::{Died, copy},
        settle::{self, Held, Parked, Settled},
    },
    effects::Effects,
    fault::{self, Fault},
    inbox,
    telemetry::{messaging, spans},
};

/// Messages of one transaction, at most.
const BATCH_MAX: i64 = 100;

/// Transactions of one call, at most: what then still waits goes on with the next call.
const ROUNDS_MAX: usize = 200;

/// What a letter cannot be taken in for.
type Refusal = (Reason, String);

/// How far a lane has come.
enum Round {
    /// So many went on, and there are more.
    On(usize),
    /// So many went on, and nothing waits any more.
    Done(usize),
    /// The first that waits is dead itself.
    Dead(Refusal),
    /// One of several is dead, and it is not known which.
    Unsure,
}

impl<H: Handler> Road for Parts<H> {
    fn redrive<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Fault>> {
        async move {
            match within_limits(&self.pool, self.redrive_letter(id, by)).await {
                Ok(None) => self.go_on(id).await,
                Ok(Some(carried)) => Ok(carried),
                // The transaction is undone; that it failed is a fact of its own.
                Err(Fault::Poison(error)) => {
                    let refusal = (Reason::Unprocessable, fault::chain(&*error));
                    self.record_failure(id, refusal, by).await
                }
                Err(transient) => Err(transient),
            }
        }
        .boxed()
    }

    fn discard<'r>(&'r self, id: Uuid, by: &'r By) -> BoxFuture<'r, Result<Carried, Fault>> {
        async move {
            match within_limits(&self.pool, self.discard_letter(id, by)).await? {
                None => self.go_on(id).await,
                Some(carried) => Ok(carried),
            }
        }
        .boxed()
    }
}

impl<H: Handler> Parts<H> {
    /// Takes the letter itself in. None, if it is settled and its lane is to go on.
    async fn redrive_letter(&self, id: Uuid, by: &By) -> Result<Option<Carried>, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(held) = settle::hold(&mut tx, id).await? else {
            return Ok(Some(Carried::NotOpen));
        };
        if held.settled {
            return Ok(None);
        }
        let began = spans::now();
        let letter = std::slice::from_ref(&held.incoming);
        let opened = match self.open(letter, messaging::By::Redrive).await {
            (opened, None) => opened,
            (_, Some(fault)) => return Err(fault),
        };
        match self.try_letter(&mut tx, &opened[0]).await? {
            Ok(effects) => {
                let by =
                    opened[0].read_by.as_deref().map_or_else(|| by.clone(), |it| by.noting(it));
                audit::record(&mut tx, id, (Action::Redrive, Outcome::TakenIn), &by).await?;
                settle::settle(&mut tx, id, Settled::Redriven).await?;
                effects.save(&mut tx).await?;
                tx.commit().await?;
                self.wakers.wake(&effects);
                self.trace(&opened, began);
                Ok(None)
            }
            Err(refusal) => {
                // Whatever the handler wrote before it refused goes with this transaction.
                tx.rollback().await?;
                self.record_failure(id, refusal, by).await.map(Some)
            }
        }
    }

    async fn try_letter(
        &self,
        conn: &mut PgConnection,
        letter: &Opened<'_, H::Input>,
    ) -> Result<Result<Effects, Refusal>, Fault> {
        if let Err(refusal) = &letter.body {
            return Ok(Err(refusal.clone()));
        }
        let Took { effects, mut refused, .. } = self.take(conn, &[letter]).await?;
        let refusal = refused.pop().map(|(_, reason, detail)| (reason, detail));
        Ok(refusal.map_or(Ok(effects), Err))
    }

    /// Counts another failure of a letter, and says so to people.
    async fn record_failure(
        &self,
        id: Uuid,
        (reason, detail): Refusal,
        by: &By,
    ) -> Result<Carried, Fault> {
        let work = async {
            let mut tx = db::begin(&self.pool).await?;
            let Some(held) = settle::hold(&mut tx, id).await?.filter(|it| !it.settled) else {
                return Ok(Carried::NotOpen);
            };
            audit::record(&mut tx, id, (Action::Redrive, Outcome::StillDead), by).await?;
            let attempts = settle::fail_again(&mut tx, id, (reason, &detail)).await?;
            let died = Died { id, reason, detail: &detail, attempts };
            let messages = vec![copy(self.service, &died, &held.incoming)];
            let effects = Effects { messages, ..Effects::default() };
            effects.save(&mut tx).await?;
            tx.commit().await?;
            self.wakers.wake(&effects);
            Ok(Carried::StillDead { attempts, reason: reason.code(), detail: detail.clone() })
        };
        within_limits(&self.pool, work).await
    }

    /// Settles the letter without taking it in: its id is known from now on, so that another copy of
    /// it has no effect either.
    async fn discard_letter(&self, id: Uuid, by: &By) -> Result<Option<Carried>, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some(held) = settle::hold(&mut tx, id).await? else {
            return Ok(Some(Carried::NotOpen));
        };
        if held.settled {
            return Ok(None);
        }
        audit::record(&mut tx, id, (Action::Discard, Outcome::Discarded), by).await?;
        let outside = super::opening::read_outside::<H::Input>(&held.incoming);
        if let Some(message) = &outside.message {
            inbox::admit(&mut tx, &[message]).await?;
        }
        settle::settle(&mut tx, id, Settled::Discarded).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// Lets go on what waits behind a settled letter, in its order, until nothing waits, one of them
    /// is dead, or it is enough for one call.
    async fn go_on(&self, id: Uuid) -> Result<Carried, Fault> {
        let (mut went_on, mut n_max) = (0, BATCH_MAX);
        for _ in 0..ROUNDS_MAX {
            let round = match within_limits(&self.pool, self.round(id, n_max)).await {
                Err(Fault::Poison(_)) if n_max > 1 => Round::Unsure,
                Err(Fault::Poison(error)) => {
                    Round::Dead((Reason::Unprocessable, fault::chain(&*error)))
                }
                round => round?,
            };
            match round {
                Round::On(n) => went_on += n,
                Round::Done(n) => {
                    let went_on = went_on + n;
                    return Ok(Carried::Settled { went_on, left: 0, now_behind: None });
                }
                Round::Unsure => n_max = 1,
                Round::Dead(refusal) => {
                    let buried = self.bury_next(id, refusal);
                    if let Some((left, reason)) = within_limits(&self.pool, buried).await? {
                        let now_behind = Some(reason);
                        return Ok(Carried::Settled { went_on, left, now_behind });
                    }
                }
            }
        }
        let left = within_limits(&self.pool, self.left(id)).await?;
        Ok(Carried::Settled { went_on, left, now_behind: None })
    }

    /// One transaction of the lane of a settled letter.
    async fn round(&self, id: Uuid, n_max: i64) -> Result<Round, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some((held, lane)) = self.hold_settled(&mut tx, id).await? else {
            return Ok(Round::Done(0));
        };
        drop(held);
        let parked = settle::waiting(&mut tx, lane, n_max).await?;
        let incoming: Vec<_> = parked.iter().map(|it| it.incoming.clone()).collect();
        let began = spans::now();
        let opened = match self.open(&incoming, messaging::By::Redrive).await {
            (opened, Some(fault)) if opened.is_empty() => return Err(fault),
            (opened, _rest_later) => opened,
        };
        let good: Vec<&Opened<'_, _>> = opened.iter().take_while(|it| it.body.is_ok()).collect();
        if let (true, Some(Opened { body: Err(refusal), .. })) = (good.is_empty(), opened.first()) {
            return Ok(Round::Dead(refusal.clone()));
        }
        let Took { effects, mut refused, .. } = self.take(&mut tx, &good).await?;
        if let Some((_, reason, detail)) = refused.pop() {
            let alone = good.len() == 1;
            return Ok(if alone { Round::Dead((reason, detail)) } else { Round::Unsure });
        }
        let n = good.len();
        let gone: Vec<i64> = parked[..n].iter().map(|it| it.parked_id).collect();
        settle::let_go(&mut tx, &gone).await?;
        let more = settle::waiting(&mut tx, lane, 1).await?;
        if more.is_empty() {
            settle::close(&mut tx, id).await?;
        }
        effects.save(&mut tx).await?;
        tx.commit().await?;
        self.wakers.wake(&effects);
        self.trace(&opened[..n], began);
        Ok(if more.is_empty() { Round::Done(n) } else { Round::On(n) })
    }

    /// The first that waits becomes a letter, and the others wait behind it. Says how many do, and
    /// why it is dead. None, if it has a letter already: then it is a repeat, and goes.
    async fn bury_next(
        &self,
        id: Uuid,
        (reason, detail): Refusal,
    ) -> Result<Option<(i64, String)>, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let Some((_, lane)) = self.hold_settled(&mut tx, id).await? else {
            return Ok(None);
        };
        let mut next = settle::waiting(&mut tx, lane, 1).await?;
        let Some(Parked { parked_id, incoming }) = next.pop() else { return Ok(None) };
        settle::let_go(&mut tx, &[parked_id]).await?;
        if !dead_letter::lane::known(&mut tx, &[Place::of(&incoming)]).await?.is_empty() {
            tx.commit().await?;
            return Ok(None);
        }
        let why = format!("{}: {detail}", reason.code());
        settle::close(&mut tx, id).await?;
        let letter = DeadLetter { incoming: &incoming, lane: Some(lane), reason, detail };
        let messages = dead_letter::keep(&mut tx, self.service, &self.clock, &[letter]).await?;
        let left = settle::count_waiting(&mut tx, lane).await?;
        let effects = Effects { messages, ..Effects::default() };
        effects.save(&mut tx).await?;
        tx.commit().await?;
        self.wakers.wake(&effects);
        Ok(Some((left, why)))
    }

    /// Records that these went on.
    fn trace(&self, gone: &[Opened<'_, H::Input>], began: SystemTime) {
        for Opened { message, read_by, .. } in gone {
            let Some(message) = message else { continue };
            if let Some(read_by) = read_by {
                let Place { topic, partition, offset, .. } = Place::of(&message.incoming);
                tracing::warn!(topic, partition, offset, read_by, "redriven, not by its schema id");
            }
            messaging::processed(self.service, message, (messaging::By::Redrive, began), None);
        }
    }

    /// How many wait behind a settled letter.
    async fn left(&self, id: Uuid) -> Result<i64, Fault> {
        let mut tx = db::begin(&self.pool).await?;
        let left = match self.hold_settled(&mut tx, id).await? {
            Some((_, lane)) => settle::count_waiting(&mut tx, lane).await?,
            None => 0,
        };
        tx.commit().await?;
        Ok(left)
    }

    /// Holds a settled letter and the lane that it closes.
    async fn hold_settled(
        &self,
        conn: &mut PgConnection,
        id: Uuid,
    ) -> Result<Option<(Held, Lane)>, Fault> {
        let held = settle::hold(conn, id).await?.filter(|it| it.settled);
        Ok(held.and_then(|it| Some((it.lane?, it)).map(|(lane, it)| (it, lane))))
    }
}
