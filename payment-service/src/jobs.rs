//! The calls to the gateway: charge, resolve, refund, each as a durable job.
//!
//! **Architecture invariant:** a job's key at the gateway consists of the order and the operation,
//! `<order id>:charge` and `<order id>:refund`: the same over every attempt, restart and redrive.
//! Resolving sends the same charge again, so it shares the charge's key. The age of its key is
//! limited ([`age`]). A refund requests all that is left of its charge, so a second refund finds
//! nothing left, whatever its key.

use std::marker::PhantomData;

use shared::{
    effects::DecisionEffects,
    fault::{self, Fault},
    jobs::{AttemptFailure, ClaimedJob, JobHandler, JobResult},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{App, BatchOutcome},
    domain::payment::PaymentCommand,
    gateway::GatewayClient,
    metrics,
    request::{PaymentAction, PaymentRequest},
};

pub use self::{charge::ChargeJob, refund::RefundJob, resolve::ResolveJob};

mod age;
mod charge;
mod refund;
pub(crate) mod requests;
mod resolve;

/// A kind of job at the gateway.
pub trait GatewayCall: Send + Sync + 'static {
    const KIND: &'static str;
    /// Why a job that was given up is never tried again once its payment no longer waits for it;
    /// `None` if the job may be tried again.
    const NEVER_AGAIN: Option<&'static str> = None;
    type Done: Send + Sync + 'static;

    fn call(
        gateway: &GatewayClient,
        job: &ClaimedJob,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Self::Done, AttemptFailure>> + Send;

    /// The command for the payment that follows from a job's end.
    fn command(ended: &JobResult<Self::Done>) -> Result<PaymentCommand, Fault>;
}

/// Handles one kind of gateway job, and records its outcomes in the payments.
#[derive(Clone, Debug)]
pub struct GatewayJob<C> {
    app: App,
    gateway: GatewayClient,
    call: PhantomData<C>,
}

impl<C: GatewayCall> GatewayJob<C> {
    /// A handler that asks this gateway.
    pub fn new(app: App, gateway: GatewayClient) -> Self {
        Self { app, gateway, call: PhantomData }
    }
}

impl<C: GatewayCall> JobHandler for GatewayJob<C> {
    const KIND: &'static str = C::KIND;
    type Done = C::Done;

    fn room(&self) -> usize {
        self.gateway.room()
    }

    async fn perform(&self, job: &ClaimedJob) -> Result<C::Done, AttemptFailure> {
        C::call(&self.gateway, job, self.app.clock.now()).await
    }

    /// A contradiction is not retried: it is logged and counted.
    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<C::Done>)],
    ) -> Result<DecisionEffects, Fault> {
        let mut batch = Vec::with_capacity(ended.len());
        for (job, ended) in ended {
            let order_id = Uuid::parse_str(&job.key).map_err(Fault::poison)?;
            let action = PaymentAction::Command(C::command(ended)?);
            batch.push(PaymentRequest { order_id, action, trace: job.trace.clone() });
        }
        let BatchOutcome { answers, mut effects } = self.app.execute(conn, &batch).await?;
        for (request, answer) in batch.iter().zip(answers) {
            if let Err(rejection) = answer {
                let error = fault::chain(&rejection);
                let update =
                    metrics::contradiction(request.order_id, &error, request.trace.as_ref());
                effects.metrics.push(update);
            }
        }
        Ok(effects)
    }

    /// Without its outcome the payment would stay open for good.
    async fn still_needed(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        let needed = self.app.waits_for(conn, C::KIND, key).await?;
        Ok(needed.then(|| "its payment waits for the outcome: try it again".to_owned()))
    }

    async fn never_again(
        &self,
        conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        let Some(reason) = C::NEVER_AGAIN else { return Ok(None) };
        let waits = self.app.waits_for(conn, C::KIND, key).await?;
        Ok((!waits).then(|| reason.to_owned()))
    }
}
