//! Charges, with a limited number of attempts.

use shared::{
    effects::Effects,
    fault::Fault,
    jobs::{Claimed, Effect, Ended, Failure},
};
use sqlx::PgConnection;

use super::{
    CHARGE, ChargeOrder,
    age::{Age, age},
    bring_home, read, still_needed,
};
use crate::{
    app::App,
    domain::payment::Command,
    gateway::{Answer, Error, Gateway, Listed},
};

/// The effect.
#[derive(Clone, Debug)]
pub struct ChargeJob {
    /// Where outcomes are brought.
    pub app: App,
    /// Who is asked.
    pub gateway: Gateway,
}

impl Effect for ChargeJob {
    const KIND: &'static str = CHARGE;
    /// A decline is an answer, and so is done.
    type Done = Answer;

    fn room(&self) -> usize {
        self.gateway.room()
    }

    async fn perform(&self, job: &Claimed) -> Result<Answer, Failure> {
        let order: ChargeOrder = read(job)?;
        match age(order.key_since(job), self.app.now(), self.gateway.keys_kept()) {
            Age::Remembered => self.gateway.charge(job, &order).await,
            // Nothing came of it, and the order is as old as its key.
            Age::Forgotten | Age::Final if !job.in_doubt => Err(too_old()),
            Age::Forgotten | Age::Final => match self.gateway.look_up(job).await? {
                Listed::Charged(charge) => Ok(Answer::Charged(charge)),
                // The job that resolves looks again.
                Listed::Declined | Listed::Unclear => Err(too_old()),
            },
        }
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(Claimed, Ended<Answer>)],
    ) -> Result<Effects, Fault> {
        let outcomes = ended.iter().map(|(job, ended)| (job, command(ended)));
        bring_home(&self.app, conn, outcomes).await
    }

    async fn still_needed(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        still_needed(&self.app, conn, CHARGE, key).await
    }

    /// Once the order has been told that it is not paid, another try would take money for nothing.
    async fn never_again(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        let wanted = self.app.waits_for(conn, CHARGE, key).await?;
        let told = "the payment has failed, and its order was told: a charge would be for nothing";
        Ok((!wanted).then(|| told.to_owned()))
    }
}

/// Given up: in doubt, if an attempt's outcome is open.
fn too_old() -> Failure {
    Failure::Final { source: Error::KeyTooOld.into() }
}

fn command(ended: &Ended<Answer>) -> Command {
    match ended {
        Ended::Done(Answer::Charged(charge)) => Command::Charged { charge: charge.clone() },
        Ended::Done(Answer::Declined { code }) => Command::Declined { code: code.clone() },
        Ended::GaveUp { in_doubt, .. } => Command::GaveUp { in_doubt: *in_doubt },
    }
}
