//! Metrics of this service: decided events and refused commands.

use shared::{decider::Decision, effects::MetricUpdate};

use crate::domain::inventory::Inventory;

const DECIDED: &str = "inventory_decided_total";
/// The label for refusals, which are counted beside events.
const REFUSED: &str = "refused";

/// Describes the metric and initialises it with 0.
pub(crate) fn describe() {
    metrics::describe_counter!(DECIDED, "Events that were decided, by kind.");
    for event in [
        "reserved",
        "rejected",
        "sold",
        "released",
        "fenced",
        "listed",
        "changed",
        "restocked",
        REFUSED,
    ] {
        metrics::counter!(DECIDED, "event" => event).increment(0);
    }
}

/// The metrics to update once this decision is committed.
pub(crate) fn of_decision(decision: &Decision<Inventory>) -> Vec<MetricUpdate> {
    let count = |event| MetricUpdate::count(DECIDED, &[("event", event)]);
    match decision {
        Ok(events) => events.iter().map(|event| count(event.name())).collect(),
        Err(_rejection) => vec![count(REFUSED)],
    }
}
