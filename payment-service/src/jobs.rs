//! What is done at the gateway: charge, resolve, refund, each a durable job.
//!
//! **Architecture invariant:** a job's key at the gateway is made from the order and the deed,
//! `<order id>:charge` and `<order id>:refund`: the same over every attempt, restart and redrive.
//! Resolving sends the very charge again, so it shares the charge's key.

use serde::{Deserialize, Serialize};
use shared::{
    effects::Effects,
    fault::{self, Fault},
    jobs::{Claimed, Failure, JobKey, NewJob},
    message::TraceParent,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    app::{Addressed, App, Ask},
    domain::payment::{Charge, Command, Event, Payment, Terms},
    numbers,
};

pub use self::{charge::ChargeJob, refund::RefundJob, resolve::ResolveJob};

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

/// Adds the job that an event asks for, or stops the one that it makes needless.
pub(crate) fn follow(
    effects: &mut Effects,
    order_id: Uuid,
    event: &Event,
    trace: Option<TraceParent>,
) -> Result<(), Fault> {
    let key = |kind| JobKey { kind, key: order_id.to_string() };
    let (kind, payload) = match event {
        Event::ChargeDue { terms } => (CHARGE, charge_order(terms)),
        Event::ResolveDue { terms } => (RESOLVE, charge_order(terms)),
        Event::RefundDue { charge } => {
            // One that was given up before makes way; none that is under way is lost by that.
            effects.stop(key(REFUND));
            (REFUND, refund_order(charge))
        }
        Event::ChargeStopped => {
            effects.stop(key(CHARGE));
            return Ok(());
        }
        Event::Awaited { .. }
        | Event::StockHeld
        | Event::Paid { .. }
        | Event::Accepted { .. }
        | Event::Failed { .. }
        | Event::Mischarged { .. }
        | Event::FoundUnpaid
        | Event::Recalled
        | Event::Abandoned
        | Event::Fenced
        | Event::Refunded { .. }
        | Event::RefundFailed => return Ok(()),
    };
    let payload = payload.map_err(Fault::poison)?;
    effects.jobs.push(NewJob { key: key(kind), payload, trace });
    Ok(())
}

fn charge_order(terms: &Terms) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(ChargeOrder {
        amount_minor: terms.amount.minor,
        currency: terms.amount.currency.as_str().to_owned(),
        method: terms.method.expose().to_owned(),
    })
}

fn refund_order(charge: &Charge) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(RefundOrder { charge_id: charge.id.clone() })
}

/// Reads what a job is about. What we wrote ourselves and cannot read will never be readable.
fn read<'j, T: Deserialize<'j>>(job: &'j Claimed) -> Result<T, Failure> {
    T::deserialize(&job.payload).map_err(|error| Failure::Final { source: error.into() })
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
