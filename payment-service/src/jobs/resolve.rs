//! Finds out what became of a charge whose outcome was never heard.
//!
//! The gateway cannot promise that a key which it has not seen will never arrive: a request may
//! still be travelling. So the same charge is sent again under the same key, without limit, until
//! it is settled one way or the other; what turns out to be charged is then given back.
//!
//! A key that the gateway may have forgotten is not used again: then the charge is looked up by its
//! order. What is not listed an hour after the last call can have been made is a person's to decide:
//! a list may be wrong, and the money may be the customer's.

use shared::{
    effects::Effects,
    fault::Fault,
    jobs::{Claimed, Effect, Ended, Failure},
};
use sqlx::PgConnection;

use super::{
    ChargeOrder, RESOLVE,
    age::{Age, age},
    bring_home, read, still_needed,
};
use crate::{
    app::App,
    domain::payment::Command,
    gateway::{Error, Found, Gateway, Listed},
};

/// The effect.
#[derive(Clone, Debug)]
pub struct ResolveJob {
    /// Where outcomes are brought.
    pub app: App,
    /// Who is asked.
    pub gateway: Gateway,
}

impl Effect for ResolveJob {
    const KIND: &'static str = RESOLVE;
    type Done = Found;

    fn room(&self) -> usize {
        self.gateway.room()
    }

    async fn perform(&self, job: &Claimed) -> Result<Found, Failure> {
        // What cannot be read settles nothing: the money may have moved all the same.
        let order: ChargeOrder =
            read(job).map_err(|failure| Failure::Unknown { source: failure.into() })?;
        let age = age(order.key_since(job), self.app.now(), self.gateway.keys_kept());
        if age == Age::Remembered {
            return self.gateway.resolve(job, &order).await;
        }
        match self.gateway.look_up(job).await? {
            Listed::Charged(charge) => Ok(Found::Charged(charge)),
            Listed::Declined => Ok(Found::NotCharged),
            Listed::Unclear if age == Age::Final => Ok(Found::NotListed),
            Listed::Unclear => Err(Failure::Unknown { source: Error::NotListed.into() }),
        }
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(Claimed, Ended<Found>)],
    ) -> Result<Effects, Fault> {
        let mut outcomes = Vec::with_capacity(ended.len());
        for (job, ended) in ended {
            outcomes.push((job, command(ended)?));
        }
        bring_home(&self.app, conn, outcomes).await
    }

    async fn still_needed(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        still_needed(&self.app, conn, RESOLVE, key).await
    }
}

/// This job has no limit and no failure for good, so it does not give up. If it did, nothing would
/// be known and nothing may be said: it stays, dead, for people to see.
fn command(ended: &Ended<Found>) -> Result<Command, Fault> {
    match ended {
        Ended::Done(Found::Charged(charge)) => Ok(Command::FoundCharged { charge: charge.clone() }),
        Ended::Done(Found::NotCharged) => Ok(Command::FoundNotCharged),
        Ended::Done(Found::NotListed) => Ok(Command::NotListed),
        Ended::GaveUp { .. } => Err(Fault::poison("a charge in doubt cannot be given up")),
    }
}
