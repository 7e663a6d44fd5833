//! Gives back what was charged, whole.

use shared::{
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, JobResult},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    requests::{REFUND, RefundRequest, read},
};
use crate::{
    domain::payment::{PaymentCommand, RefundObstacle},
    gateway::{GatewayClient, RefundOutcome},
};

pub type RefundJob = GatewayJob<RefundCall>;

/// The call that refunds.
#[derive(Clone, Debug)]
pub struct RefundCall;

impl GatewayCall for RefundCall {
    const KIND: &'static str = REFUND;
    /// A refund that cannot be made, however often it is asked for, is an answer, and so is done.
    type Done = RefundOutcome;

    async fn call(
        gateway: &GatewayClient,
        job: &ClaimedJob,
        _now: OffsetDateTime,
    ) -> Result<RefundOutcome, AttemptFailure> {
        let request: RefundRequest = read(job)?;
        gateway.refund(job, &request).await
    }

    /// Given up is given up, in doubt or not: another try goes out under the same key and finds
    /// out.
    fn command(ended: &JobResult<RefundOutcome>) -> Result<PaymentCommand, Fault> {
        Ok(match ended {
            JobResult::Done(RefundOutcome::Refunded { id }) => {
                PaymentCommand::Refunded { refund_id: id.clone() }
            }
            JobResult::Done(RefundOutcome::Not(obstacle)) => {
                PaymentCommand::RefundGaveUp { obstacle: *obstacle }
            }
            JobResult::GaveUp { .. } => {
                PaymentCommand::RefundGaveUp { obstacle: RefundObstacle::GaveUp }
            }
        })
    }
}
