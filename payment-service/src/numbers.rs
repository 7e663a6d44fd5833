//! What this service counts, and what it calls a person for.

use metrics::{counter, describe_counter};
use uuid::Uuid;

use crate::domain::payment::Event;

const OUTCOMES: &str = "payment_outcomes_total";
const CONTRADICTIONS: &str = "payment_contradictions_total";
const KEYS_REUSED: &str = "payment_keys_reused_total";

/// Gives each number its line of help, and a beginning to those that must stay 0.
pub(crate) fn describe() {
    describe_counter!(OUTCOMES, "How payments went, by outcome.");
    describe_counter!(CONTRADICTIONS, "Outcomes that cannot be, given what is known. Must stay 0.");
    describe_counter!(KEYS_REUSED, "Keys that the gateway knows for another request. Must stay 0.");
    counter!(CONTRADICTIONS).increment(0);
    counter!(KEYS_REUSED).increment(0);
    for outcome in ["wrong-amount", "refund-failed"] {
        counter!(OUTCOMES, "outcome" => outcome).increment(0);
    }
}

/// Counts how payments go; what waits for a person is said aloud.
pub(crate) fn count(order_id: Uuid, event: &Event) {
    let outcome = match event {
        Event::Paid { .. } | Event::Accepted { .. } => "paid",
        Event::Failed { .. } => "failed",
        Event::Refunded { .. } => "refunded",
        Event::ResolveDue { .. } => "in-doubt",
        Event::FoundUnpaid => "found-unpaid",
        Event::Mischarged { .. } => "wrong-amount",
        Event::RefundFailed => "refund-failed",
        Event::ChargeStopped | Event::Abandoned => "abandoned",
        Event::Fenced => "fenced",
        Event::Awaited { .. }
        | Event::StockHeld
        | Event::ChargeDue { .. }
        | Event::Recalled
        | Event::RefundDue { .. } => return,
    };
    counter!(OUTCOMES, "outcome" => outcome).increment(1);
    if matches!(event, Event::Mischarged { .. } | Event::RefundFailed) {
        tracing::error!(%order_id, outcome, "a payment needs a person's decision");
    }
}

/// The gateway said what cannot be.
pub(crate) fn contradiction(order_id: Uuid, error: &str) {
    counter!(CONTRADICTIONS).increment(1);
    tracing::error!(%order_id, error, "the gateway contradicts what is known of a payment");
}

/// One key, two requests: either we broke our word, or somebody else uses our keys.
pub(crate) fn key_reused(order_id: &str, deed: &'static str) {
    counter!(KEYS_REUSED).increment(1);
    tracing::error!(order_id, deed, "the gateway knows the key for another request");
}
