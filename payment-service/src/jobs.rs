//! What is done at the gateway: charge, resolve, refund, each a durable job.
//!
//! **Architecture invariant:** a job's key at the gateway is made from the order and the deed,
//! `<order id>:charge` and `<order id>:refund`: the same over every attempt, restart and redrive.
//! Resolving sends the very charge again, so it shares the charge's key. When the charge was asked for
//! is kept with the payment and told to both jobs: how old its key may be ([`age`]). A refund asks for
//! all that is left of its charge, so a second one finds nothing left, whatever its key.

use serde::{Deserialize, Serialize};
use shared::{
    effects::Effects,
    fault::{self, Fault},
    jobs::{Claimed, Failure, JobKey, NewJob},
    message::TraceParent,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{Addressed, App, Ask},
    domain::payment::{Charge, Command, Event, Payment, Terms},
    numbers,
};

pub use self::{charge::ChargeJob, refund::RefundJob, resolve::ResolveJob};

mod age;
mod charge;
mod refund;
mod resolve;

pub(crate) const CHARGE: &str = "charge";
pub(crate) const RESOLVE: &str = "resolve";
pub(crate) const REFUND: &str = "refund";

/// What the worker needs to know in order to charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChargeOrder {
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) method: String,
    /// Since when the key of this charge may have been used.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) key_since: Option<OffsetDateTime>,
}

/// What the worker needs to know in order to refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundOrder {
    pub(crate) charge_id: String,
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

/// Why a job that was given up may not be ended: without its outcome the payment stays open for good.
async fn still_needed(
    app: &App,
    conn: &mut PgConnection,
    kind: &'static str,
    key: &str,
) -> Result<Option<String>, Fault> {
    let needed = app.waits_for(conn, kind, key).await?;
    Ok(needed.then(|| "its payment waits for the outcome: try it again".to_owned()))
}

/// What a job is to know beside its event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// When the charge of this payment was asked for.
    pub(crate) charge_asked_at: Option<OffsetDateTime>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceParent>,
}

/// Adds the job that an event asks for, or stops the one that it makes needless.
pub(crate) fn follow(
    effects: &mut Effects,
    order_id: Uuid,
    event: &Event,
    told: Told,
) -> Result<(), Fault> {
    let key = |kind| JobKey { kind, key: order_id.to_string() };
    let (kind, payload) = match event {
        Event::ChargeDue { terms } => (CHARGE, charge_order(terms, told)),
        Event::ResolveDue { terms } => (RESOLVE, charge_order(terms, told)),
        Event::RefundDue { charge } => {
            // One that was given up before makes way; none that is under way is lost by that.
            effects.stop(key(REFUND));
            (REFUND, refund_order(charge))
        }
        Event::ChargeStopped => {
            effects.stop(key(CHARGE));
            return Ok(());
        }
        Event::Settled { .. } => {
            effects.stop(key(REFUND));
            return Ok(());
        }
        Event::Awaited { .. }
        | Event::StockHeld
        | Event::Free { .. }
        | Event::Paid { .. }
        | Event::Accepted { .. }
        | Event::Failed { .. }
        | Event::Mischarged { .. }
        | Event::FoundUnpaid
        | Event::DoubtRemains
        | Event::Recalled
        | Event::Abandoned
        | Event::Fenced
        | Event::Refunded { .. }
        | Event::RefundFailed { .. } => return Ok(()),
    };
    let payload = payload.map_err(Fault::poison)?;
    effects.jobs.push(NewJob { key: key(kind), payload, trace: told.trace });
    Ok(())
}

fn charge_order(terms: &Terms, told: Told) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(ChargeOrder {
        amount_minor: terms.amount.minor,
        currency: terms.amount.currency.as_str().to_owned(),
        method: terms.method.expose().to_owned(),
        key_since: told.charge_asked_at,
    })
}

fn refund_order(charge: &Charge) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(RefundOrder { charge_id: charge.id.clone() })
}

/// Reads what a job is about. What we wrote ourselves and cannot read will never be readable.
fn read<'j, T: Deserialize<'j>>(job: &'j Claimed) -> Result<T, Failure> {
    T::deserialize(&job.payload).map_err(|error| Failure::Final { source: error.into() })
}

impl ChargeOrder {
    /// Since when the key may have been used. A job of an earlier version does not say; the order's id
    /// then tells when the order was placed, if it is one that does.
    fn key_since(&self, job: &Claimed) -> Option<OffsetDateTime> {
        self.key_since.or_else(|| {
            let (seconds, _) = Uuid::parse_str(&job.key).ok()?.get_timestamp()?.to_unix();
            OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()
        })
    }
}

/// Brings outcomes home on the one road. A contradiction is nobody's retry: it is said aloud.
async fn bring_home(
    app: &App,
    conn: &mut PgConnection,
    outcomes: impl IntoIterator<Item = (&Claimed, Command)>,
) -> Result<Effects, Fault> {
    let mut batch = Vec::new();
    for (job, command) in outcomes {
        let order_id = Uuid::parse_str(&job.key).map_err(Fault::poison)?;
        batch.push(Addressed { order_id, ask: Ask::Command(command), trace: job.trace });
    }
    let outcome = app.execute(conn, &batch).await?;
    for (addressed, answer) in batch.iter().zip(outcome.answers) {
        if let Err(rejection) = answer {
            let error = fault::chain(&rejection);
            numbers::contradiction(addressed.order_id, &error, addressed.trace);
        }
    }
    Ok(outcome.effects)
}
