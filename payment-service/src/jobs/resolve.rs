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
    fault::Fault,
    jobs::{Claimed, Ended, Failure},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    age::{Age, age},
    requests::{ChargeRequest, RESOLVE, read},
};
use crate::{
    domain::payment::Command,
    gateway::{Error, Found, Gateway, Listed},
};

/// Resolves charges in doubt.
pub type ResolveJob = GatewayJob<ResolveCall>;

/// The call that resolves a charge in doubt.
#[derive(Clone, Debug)]
pub struct ResolveCall;

impl GatewayCall for ResolveCall {
    const KIND: &'static str = RESOLVE;
    type Done = Found;

    async fn call(gateway: &Gateway, job: &Claimed, now: OffsetDateTime) -> Result<Found, Failure> {
        // What cannot be read settles nothing: the money may have moved all the same.
        let request: ChargeRequest =
            read(job).map_err(|failure| Failure::Unknown { source: failure.into() })?;
        let age = age(request.key_since(job), now, gateway.keys_kept());
        if age == Age::Remembered {
            return gateway.resolve(job, &request).await;
        }
        match gateway.look_up(job).await? {
            Listed::Charged(charge) => Ok(Found::Charged(charge)),
            Listed::Declined => Ok(Found::NotCharged),
            Listed::Unclear if age == Age::Final => Ok(Found::NotListed),
            Listed::Unclear => Err(Failure::Unknown { source: Error::NotListed.into() }),
        }
    }

    /// This job has no limit and no failure for good, so it does not give up. If it did, nothing would
    /// be known and nothing may be said: it stays, dead, for people to see.
    fn command(ended: &Ended<Found>) -> Result<Command, Fault> {
        match ended {
            Ended::Done(Found::Charged(charge)) => {
                Ok(Command::FoundCharged { charge: charge.clone() })
            }
            Ended::Done(Found::NotCharged) => Ok(Command::FoundNotCharged),
            Ended::Done(Found::NotListed) => Ok(Command::NotListed),
            Ended::GaveUp { .. } => Err(Fault::poison("a charge in doubt cannot be given up")),
        }
    }
}
