//! Gives back what was charged, whole.

use shared::{
    effects::Effects,
    fault::Fault,
    jobs::{Claimed, Effect, Ended, Failure},
};
use sqlx::PgConnection;

use super::{REFUND, RefundOrder, bring_home, read, still_needed};
use crate::{
    app::App,
    domain::payment::{Command, Obstacle},
    gateway::{Gateway, Returned},
};

/// The effect. A refund that cannot be made, however often it is asked for, is an answer, and so is done.
#[derive(Clone, Debug)]
pub struct RefundJob {
    /// Where outcomes are brought.
    pub app: App,
    /// Who is asked.
    pub gateway: Gateway,
}

impl Effect for RefundJob {
    const KIND: &'static str = REFUND;
    type Done = Returned;

    fn room(&self) -> usize {
        self.gateway.room()
    }

    async fn perform(&self, job: &Claimed) -> Result<Returned, Failure> {
        let order: RefundOrder = read(job)?;
        self.gateway.refund(job, &order).await
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(Claimed, Ended<Returned>)],
    ) -> Result<Effects, Fault> {
        let outcomes = ended.iter().map(|(job, ended)| (job, command(ended)));
        bring_home(&self.app, conn, outcomes).await
    }

    async fn still_needed(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        still_needed(&self.app, conn, REFUND, key).await
    }
}

/// Given up is given up, in doubt or not: another try goes out under the same key and finds out.
fn command(ended: &Ended<Returned>) -> Command {
    match ended {
        Ended::Done(Returned::Refunded { id }) => Command::Refunded { refund_id: id.clone() },
        Ended::Done(Returned::Not(obstacle)) => Command::RefundGaveUp { obstacle: *obstacle },
        Ended::GaveUp { .. } => Command::RefundGaveUp { obstacle: Obstacle::GaveUp },
    }
}
