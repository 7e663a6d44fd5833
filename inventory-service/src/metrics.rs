//! What this service counts: the events that it decides, and what it refuses.

use shared::decider::Decision;

use crate::domain::inventory::Inventory;

const DECIDED: &str = "inventory_decided_total";
/// What is counted beside events: answers that are no.
const REFUSED: &str = "refused";

/// Gives the number its line of help, and shows it from 0 on.
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

/// Counts what was decided. A batch that is taken in again is counted again.
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
