//! Metrics of this service: decided events and refused commands.

use shared::decider::Decision;

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

/// Counts the decisions of a batch. A batch that is consumed again is counted again.
pub(crate) fn count<'d>(decisions: impl Iterator<Item = &'d Decision<Inventory>>) {
    for decision in decisions {
        match decision {
            Ok(events) => {
                for event in events {
                    metrics::counter!(DECIDED, "event" => event.name()).increment(1);
                }
            }
            Err(_rejection) => {
                metrics::counter!(DECIDED, "event" => REFUSED).increment(1);
            }
        }
    }
}
