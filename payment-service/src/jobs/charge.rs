//! Charges, with a limited number of attempts.

use shared::{
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, JobResult},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    age::{KeyAge, age},
    requests::{CHARGE, ChargeRequest, read},
};
use crate::{
    domain::payment::PaymentCommand,
    gateway::{ChargeOutcome, GatewayClient, GatewayError, LookupResult},
};

pub type ChargeJob = GatewayJob<ChargeCall>;

/// The call that charges.
#[derive(Clone, Debug)]
pub struct ChargeCall;

impl GatewayCall for ChargeCall {
    const KIND: &'static str = CHARGE;
    /// Once the order has been told that it is not paid, another try would take money for nothing.
    const NEVER_AGAIN: Option<&'static str> =
        Some("the payment has failed, and its order was told: a charge would be for nothing");
    /// A decline is an answer, and so is done.
    type Done = ChargeOutcome;

    async fn call(
        gateway: &GatewayClient,
        job: &ClaimedJob,
        now: OffsetDateTime,
    ) -> Result<ChargeOutcome, AttemptFailure> {
        let request: ChargeRequest = read(job)?;
        match age(request.key_since(job), now, gateway.keys_kept()) {
            KeyAge::Remembered => gateway.charge(job, &request).await,
            // Nothing came of it, and the order is as old as its key.
            KeyAge::Forgotten | KeyAge::Final if !job.in_doubt => Err(too_old()),
            KeyAge::Forgotten | KeyAge::Final => match gateway.look_up(job).await? {
                LookupResult::Charged(charge) => Ok(ChargeOutcome::Charged(charge)),
                // The job that resolves looks again.
                LookupResult::Declined | LookupResult::Unclear => Err(too_old()),
            },
        }
    }

    fn command(ended: &JobResult<ChargeOutcome>) -> Result<PaymentCommand, Fault> {
        Ok(match ended {
            JobResult::Done(ChargeOutcome::Charged(charge)) => {
                PaymentCommand::Charged { charge: charge.clone() }
            }
            JobResult::Done(ChargeOutcome::Declined { code }) => {
                PaymentCommand::Declined { code: code.clone() }
            }
            JobResult::GaveUp { in_doubt, .. } => PaymentCommand::GaveUp { in_doubt: *in_doubt },
        })
    }
}

/// Given up: in doubt, if an attempt's outcome is open.
fn too_old() -> AttemptFailure {
    AttemptFailure::Permanent { source: GatewayError::KeyTooOld.into() }
}
