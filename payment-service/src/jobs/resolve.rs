//! Finds out the outcome of a charge whose answer was lost.
//!
//! The gateway cannot exclude that a request with an unseen key still arrives: the request may be
//! on its way. So the same charge is sent again under the same key, without limit, until its
//! outcome is known; if the charge was made, it is then refunded.
//!
//! A key that the gateway may have forgotten is not used again: then the charge is looked up by its
//! order. If it is not listed an hour after the last possible call, a person decides: a list may be
//! wrong, and the customer may have been charged.

use shared::{
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, JobResult},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    age::{KeyAge, age},
    requests::{ChargeRequest, RESOLVE, read},
};
use crate::{
    domain::payment::PaymentCommand,
    gateway::{ChargeFinding, GatewayClient, GatewayError, LookupResult},
};

/// Resolves charges in doubt.
pub type ResolveJob = GatewayJob<ResolveCall>;

/// The call that resolves a charge in doubt.
#[derive(Clone, Debug)]
pub struct ResolveCall;

impl GatewayCall for ResolveCall {
    const KIND: &'static str = RESOLVE;
    type Done = ChargeFinding;

    async fn call(
        gateway: &GatewayClient,
        job: &ClaimedJob,
        now: OffsetDateTime,
    ) -> Result<ChargeFinding, AttemptFailure> {
        // An answer that cannot be read settles nothing: the money may have moved all the same.
        let request: ChargeRequest =
            read(job).map_err(|failure| AttemptFailure::InDoubt { source: failure.into() })?;
        let age = age(request.key_since(job), now, gateway.keys_kept());
        if age == KeyAge::Remembered {
            return gateway.resolve(job, &request).await;
        }
        match gateway.look_up(job).await? {
            LookupResult::Charged(charge) => Ok(ChargeFinding::Charged(charge)),
            LookupResult::Declined => Ok(ChargeFinding::NotCharged),
            LookupResult::Unclear if age == KeyAge::Final => Ok(ChargeFinding::NotListed),
            LookupResult::Unclear => {
                Err(AttemptFailure::InDoubt { source: GatewayError::NotListed.into() })
            }
        }
    }

    /// This job has no limit and no failure for good, so it does not give up. If it did, nothing
    /// would be known and nothing may be said: it stays, dead, for people to see.
    fn command(ended: &JobResult<ChargeFinding>) -> Result<PaymentCommand, Fault> {
        match ended {
            JobResult::Done(ChargeFinding::Charged(charge)) => {
                Ok(PaymentCommand::FoundCharged { charge: charge.clone() })
            }
            JobResult::Done(ChargeFinding::NotCharged) => Ok(PaymentCommand::FoundNotCharged),
            JobResult::Done(ChargeFinding::NotListed) => Ok(PaymentCommand::NotListed),
            JobResult::GaveUp { .. } => Err(Fault::poison("a charge in doubt cannot be given up")),
        }
    }
}
