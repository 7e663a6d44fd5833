//! Metrics of this service, and the events that need a person.

use std::collections::HashMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use shared::{
    effects::MetricUpdate,
    message::TraceContext,
    sampled_metrics::{self, FAR_ENOUGH, MetricSampler, ScanFloor},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::payment::PaymentEvent,
    store::open::{self, OpenCount},
};

const OUTCOMES: &str = "payment_outcomes_total";
const OUTCOME_NAMES: [&str; 10] = [
    "paid",
    "failed",
    "refunded",
    "in-doubt",
    "found-unpaid",
    "charge-in-doubt",
    "wrong-amount",
    "refund-failed",
    "abandoned",
    "fenced",
];
/// Stages that are not final: a message, a job or a decision is still to come.
const OPEN_STAGES: [&str; 7] = [
    "awaiting-stock",
    "awaiting-order",
    "charging",
    "cancelling",
    "unresolved",
    "refunding",
    "needs-review",
];
const CONTRADICTIONS: &str = "payment_contradictions_total";
const KEYS_REUSED: &str = "payment_keys_reused_total";

/// Describes the metrics, and initialises those that must stay 0.
pub(crate) fn describe() {
    describe_counter!(OUTCOMES, "How payments went, by outcome.");
    describe_counter!(CONTRADICTIONS, "Outcomes that cannot be, given what is known. Must stay 0.");
    describe_counter!(KEYS_REUSED, "Keys that the gateway knows for another request. Must stay 0.");
    counter!(CONTRADICTIONS).increment(0);
    counter!(KEYS_REUSED).increment(0);
    describe_gauge!("payments_open", "Payments that have not ended, by stage.");
    describe_gauge!(
        "payments_open_age_seconds",
        "For how long a payment has stood at a stage, at most, by stage; 0 if none does."
    );
    for outcome in OUTCOME_NAMES {
        counter!(OUTCOMES, "outcome" => outcome).increment(0);
    }
}

/// Counts the payments that have not ended.
#[derive(Debug, Default)]
pub struct OpenPayments(ScanFloor<HashMap<String, OffsetDateTime>>);

impl MetricSampler for OpenPayments {
    fn of(&self) -> &'static str {
        "payments"
    }

    async fn sample(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let since = self.0.get().unwrap_or_default();
        let found = open::count(conn, &OPEN_STAGES, &since, FAR_ENOUGH).await?;
        self.0.raise(found.iter().map(|count| (count.stage.clone(), count.since)).collect());
        for OpenCount { stage, payments, age, .. } in found {
            let labels = [("stage", stage)];
            gauge!("payments_open", &labels).set(sampled_metrics::rows(payments));
            gauge!("payments_open_age_seconds", &labels).set(age.max(0.0));
        }
        Ok(())
    }
}

/// The metric to update once this event is committed.
pub(crate) fn of_event(event: &PaymentEvent) -> Option<MetricUpdate> {
    let outcome = outcome(event)?;
    Some(MetricUpdate::count(OUTCOMES, &[("outcome", outcome)]))
}

/// The outcome for a payment that an event stands for.
fn outcome(event: &PaymentEvent) -> Option<&'static str> {
    Some(match event {
        PaymentEvent::Free { .. } | PaymentEvent::Paid { .. } | PaymentEvent::Accepted { .. } => {
            "paid"
        }
        PaymentEvent::Failed { .. } => "failed",
        PaymentEvent::Refunded { .. } | PaymentEvent::Settled { .. } => "refunded",
        PaymentEvent::ResolveDue { .. } => "in-doubt",
        PaymentEvent::FoundUnpaid => "found-unpaid",
        PaymentEvent::DoubtRemains => "charge-in-doubt",
        PaymentEvent::Mischarged { .. } => "wrong-amount",
        PaymentEvent::RefundFailed { .. } => "refund-failed",
        PaymentEvent::ChargeStopped | PaymentEvent::Abandoned => "abandoned",
        PaymentEvent::Fenced => "fenced",
        PaymentEvent::Awaited { .. }
        | PaymentEvent::StockHeld
        | PaymentEvent::ChargeDue { .. }
        | PaymentEvent::Recalled
        | PaymentEvent::RefundDue { .. } => return None,
    })
}

/// Logs an event after which the payment waits for a person.
pub(crate) fn report(order_id: Uuid, event: &PaymentEvent, trace: Option<&TraceContext>) {
    if event.review().is_some() {
        let (outcome, trace_id) = (outcome(event), trace.map(TraceContext::trace_id));
        tracing::error!(%order_id, trace_id, outcome, "a payment needs a person's decision");
    }
}

/// The gateway's answer contradicts an earlier one: logs it, and returns the metric to update once
/// the outcome is committed.
pub(crate) fn contradiction(
    order_id: Uuid,
    error: &str,
    trace: Option<&TraceContext>,
) -> MetricUpdate {
    let trace_id = trace.map(TraceContext::trace_id);
    tracing::error!(%order_id, trace_id, error, "the gateway contradicts what is known of a payment");
    MetricUpdate::count(CONTRADICTIONS, &[])
}

/// One key, two requests: a bug in this service, or another client uses its keys.
pub(crate) fn key_reused(order_id: &str, deed: &'static str) {
    counter!(KEYS_REUSED).increment(1);
    tracing::error!(order_id, deed, "the gateway knows the key for another request");
}
