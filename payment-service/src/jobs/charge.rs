//! Charges, with a limited number of attempts.

use shared::{
    fault::Fault,
    jobs::{Claimed, Ended, Failure},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    age::{Age, age},
    requests::{CHARGE, ChargeRequest, read},
};
use crate::{
    domain::payment::Command,
    gateway::{Answer, Error, Gateway, Listed},
};

/// Charges.
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
    type Done = Answer;

    async fn call(
        gateway: &Gateway,
        job: &Claimed,
        now: OffsetDateTime,
    ) -> Result<Answer, Failure> {
        let request: ChargeRequest = read(job)?;
        match age(request.key_since(job), now, gateway.keys_kept()) {
            Age::Remembered => gateway.charge(job, &request).await,
            // Nothing came of it, and the order is as old as its key.
            Age::Forgotten | Age::Final if !job.in_doubt => Err(too_old()),
            Age::Forgotten | Age::Final => match gateway.look_up(job).await? {
                Listed::Charged(charge) => Ok(Answer::Charged(charge)),
                // The job that resolves looks again.
                Listed::Declined | Listed::Unclear => Err(too_old()),
            },
        }
    }

    fn command(ended: &Ended<Answer>) -> Result<Command, Fault> {
        Ok(match ended {
            Ended::Done(Answer::Charged(charge)) => Command::Charged { charge: charge.clone() },
            Ended::Done(Answer::Declined { code }) => Command::Declined { code: code.clone() },
            Ended::GaveUp { in_doubt, .. } => Command::GaveUp { in_doubt: *in_doubt },
        })
    }
}

/// Given up: in doubt, if an attempt's outcome is open.
fn too_old() -> Failure {
    Failure::Final { source: Error::KeyTooOld.into() }
}
