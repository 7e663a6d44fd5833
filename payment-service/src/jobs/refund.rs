//! Gives back what was charged, whole.

use shared::{
    effects::Effects,
    fault::Fault,
    jobs::{Claimed, Effect, Ended, Failure},
};
use sqlx::PgConnection;

use super::{REFUND, RefundOrder, bring_home, read, still_needed};
use crate::{app::App, domain::payment::Command, gateway::Gateway};

/// The effect. What is known once it is done is the gateway's name for the refund.
#[derive(Clone, Debug)]
pub struct RefundJob {
    /// Where outcomes are brought.
    pub app: App,
    /// Who is asked.
    pub gateway: Gateway,
}

impl Effect for RefundJob {
    const KIND: &'static str = REFUND;
    type Done = String;

    fn room(&self) -> usize {
        self.gateway.room()
    }

    async fn perform(&self, job: &Claimed) -> Result<String, Failure> {
        let order: RefundOrder = read(job)?;
        self.gateway.refund(job, &order).await
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(Claimed, Ended<String>)],
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
fn command(ended: &Ended<String>) -> Command {
    match ended {
        Ended::Done(refund_id) => Command::Refunded { refund_id: refund_id.clone() },
        Ended::GaveUp { .. } => Command::RefundGaveUp,
    }
}
