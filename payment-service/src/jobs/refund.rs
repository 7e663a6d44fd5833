//! Gives back what was charged, whole.

use shared::{
    fault::Fault,
    jobs::{Claimed, Ended, Failure},
};
use time::OffsetDateTime;

use super::{
    GatewayCall, GatewayJob,
    requests::{REFUND, RefundRequest, read},
};
use crate::{
    domain::payment::{Command, Obstacle},
    gateway::{Gateway, Returned},
};

/// Refunds.
pub type RefundJob = GatewayJob<RefundCall>;

/// The call that refunds.
#[derive(Clone, Debug)]
pub struct RefundCall;

impl GatewayCall for RefundCall {
    const KIND: &'static str = REFUND;
    /// A refund that cannot be made, however often it is asked for, is an answer, and so is done.
    type Done = Returned;

    async fn call(
        gateway: &Gateway,
        job: &Claimed,
        _now: OffsetDateTime,
    ) -> Result<Returned, Failure> {
        let request: RefundRequest = read(job)?;
        gateway.refund(job, &request).await
    }

    /// Given up is given up, in doubt or not: another try goes out under the same key and finds out.
    fn command(ended: &Ended<Returned>) -> Result<Command, Fault> {
        Ok(match ended {
            Ended::Done(Returned::Refunded { id }) => Command::Refunded { refund_id: id.clone() },
            Ended::Done(Returned::Not(obstacle)) => Command::RefundGaveUp { obstacle: *obstacle },
            Ended::GaveUp { .. } => Command::RefundGaveUp { obstacle: Obstacle::GaveUp },
        })
    }
}
