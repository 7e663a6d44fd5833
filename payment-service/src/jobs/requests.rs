//! The payloads of gateway jobs, and the events that request the jobs.
//!
//! The time at which the charge was requested is stored with the payment and passed to both jobs
//! that charge: it gives the age of the key.

use serde::{Deserialize, Serialize};
use shared::{
    effects::DecisionEffects,
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, JobKey, NewJob},
    message::TraceContext,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::payment::{GatewayCharge, Payment, PaymentEvent, PaymentTerms};

pub(crate) const CHARGE: &str = "charge";
pub(super) const RESOLVE: &str = "resolve";
pub(super) const REFUND: &str = "refund";

/// The payload of the jobs that charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChargeRequest {
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) method: String,
    /// Since when the key of this charge may have been used.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) key_since: Option<OffsetDateTime>,
}

/// The payload of a refund job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundRequest {
    pub(crate) charge_id: String,
}

impl ChargeRequest {
    /// Since when the key may have been used. A job of an earlier version lacks this time; it is
    /// then taken from the order's id, if the id contains a timestamp.
    pub(super) fn key_since(&self, job: &ClaimedJob) -> Option<OffsetDateTime> {
        self.key_since.or_else(|| {
            let (seconds, _) = Uuid::parse_str(&job.key).ok()?.get_timestamp()?.to_unix();
            OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()
        })
    }
}

/// The kind of job whose outcome a payment waits for.
pub(crate) fn awaited(payment: &Payment) -> Option<&'static str> {
    match payment {
        Payment::Charging { .. } | Payment::Cancelling { .. } => Some(CHARGE),
        Payment::Unresolved { .. } => Some(RESOLVE),
        Payment::Refunding { .. } => Some(REFUND),
        Payment::Unheard
        | Payment::AwaitingStock { .. }
        | Payment::AwaitingOrder
        | Payment::Done { .. }
        | Payment::Refunded { .. }
        | Payment::NeedsReview { .. }
        | Payment::InDoubt { .. }
        | Payment::Failed { .. }
        | Payment::Abandoned { .. }
        | Payment::Fenced => None,
    }
}

/// Data for a job beside its event.
#[derive(Clone, Debug)]
pub(crate) struct JobContext {
    /// When the charge of this payment was asked for.
    pub(crate) charge_asked_at: Option<OffsetDateTime>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceContext>,
}

/// Adds the job that an event asks for, or stops the one that it makes needless.
pub(crate) fn follow(
    effects: &mut DecisionEffects,
    order_id: Uuid,
    event: &PaymentEvent,
    context: JobContext,
) -> Result<(), Fault> {
    let key = |kind| JobKey { kind, key: order_id.to_string() };
    let (kind, payload) = match event {
        PaymentEvent::ChargeDue { terms } => (CHARGE, charge_request(terms, &context)),
        PaymentEvent::ResolveDue { terms } => (RESOLVE, charge_request(terms, &context)),
        PaymentEvent::RefundDue { charge } => {
            // One that was given up before makes way; none that is under way is lost by that.
            effects.stop(key(REFUND));
            (REFUND, refund_request(charge))
        }
        PaymentEvent::ChargeStopped => {
            effects.stop(key(CHARGE));
            return Ok(());
        }
        PaymentEvent::Settled { .. } => {
            effects.stop(key(REFUND));
            return Ok(());
        }
        PaymentEvent::Awaited { .. }
        | PaymentEvent::StockHeld
        | PaymentEvent::Free { .. }
        | PaymentEvent::Paid { .. }
        | PaymentEvent::Accepted { .. }
        | PaymentEvent::Failed { .. }
        | PaymentEvent::Mischarged { .. }
        | PaymentEvent::FoundUnpaid
        | PaymentEvent::DoubtRemains
        | PaymentEvent::Recalled
        | PaymentEvent::Abandoned
        | PaymentEvent::Fenced
        | PaymentEvent::Refunded { .. }
        | PaymentEvent::RefundFailed { .. } => return Ok(()),
    };
    let payload = payload.map_err(Fault::poison)?;
    effects.jobs.push(NewJob { key: key(kind), payload, trace: context.trace });
    Ok(())
}

fn charge_request(
    terms: &PaymentTerms,
    context: &JobContext,
) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(ChargeRequest {
        amount_minor: terms.amount.minor,
        currency: terms.amount.currency.as_str().to_owned(),
        method: terms.method.expose().to_owned(),
        key_since: context.charge_asked_at,
    })
}

fn refund_request(charge: &GatewayCharge) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(RefundRequest { charge_id: charge.id.clone() })
}

/// Decodes a job's payload. A payload of this service that cannot be read will never be readable.
pub(super) fn read<'j, T: Deserialize<'j>>(job: &'j ClaimedJob) -> Result<T, AttemptFailure> {
    T::deserialize(&job.payload).map_err(|error| AttemptFailure::Permanent { source: error.into() })
}
