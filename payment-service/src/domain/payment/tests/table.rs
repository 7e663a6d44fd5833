//! The tables in the module's doc, cell by cell.

use std::collections::BTreeMap;

use shared::decider::{
    Decision,
    table::{Answered, assert_told, rows},
};

use super::*;

const SOURCE: &str = include_str!("../../payment.rs");

const STAGES: [&str; 17] = [
    "unheard",
    "awaiting stock",
    "free awaiting stock",
    "awaiting order",
    "charging",
    "cancelling",
    "unresolved",
    "done",
    "free done",
    "refunding",
    "refunded",
    "wrong amount",
    "refund failed",
    "charge in doubt",
    "failed",
    "abandoned",
    "fenced",
];

fn commands() -> [(&'static str, Command); 18] {
    [
        ("order placed", placed()),
        ("free order placed", free_placed()),
        ("stock reserved", Command::StockReserved),
        ("order cancelled", CANCELLED),
        ("order cancelled untouched", CANCELLED_UNTOUCHED),
        ("charged", Command::Charged { charge: charge() }),
        ("charged wrongly", Command::Charged { charge: wrong_charge() }),
        ("declined", declined()),
        ("gave up", REFUSED),
        ("gave up in doubt", IN_DOUBT),
        ("found charged", Command::FoundCharged { charge: charge() }),
        ("found not charged", Command::FoundNotCharged),
        ("not listed", Command::NotListed),
        ("refunded", refunded()),
        ("refund gave up", GAVE_UP),
        ("accept", Command::Accept),
        ("refund", Command::Refund),
        ("settle", Command::Settle),
    ]
}

fn answer(stage: &str, command: &Command) -> Decision<Payment> {
    Payment::decide(&decider::replay::<Payment>(&history(stage)), command)
}

/// What happens, what is said and which job follows.
fn what(events: &[Event]) -> Vec<String> {
    let told = events.iter().map(tell).collect::<Vec<_>>();
    let column = |of: fn(&[&'static str; 3]) -> &'static str| {
        told.iter().map(of).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
    };
    vec![column(|it| it[0]), column(|it| it[1]), column(|it| it[2])]
}

fn tell(event: &Event) -> [&'static str; 3] {
    match event {
        Event::Awaited { .. } => ["awaiting stock", "", ""],
        Event::StockHeld => ["awaiting order", "", ""],
        Event::ChargeDue { .. } => ["charging", "", "charge"],
        Event::Free { .. } | Event::Paid { .. } | Event::Accepted { .. } => {
            ["done", "`payment-done`", ""]
        }
        Event::Failed { failure: Failure::Declined { .. } } => {
            ["failed (declined)", "`payment-failed`", ""]
        }
        Event::Failed { failure: Failure::Unavailable } => {
            ["failed (unavailable)", "`payment-failed`", ""]
        }
        Event::Mischarged { .. } => ["needs review (wrong amount)", "", ""],
        Event::ResolveDue { .. } => ["unresolved", "", "resolve"],
        Event::FoundUnpaid => ["failed (unavailable)", "", ""],
        Event::DoubtRemains => ["needs review (charge in doubt)", "", ""],
        Event::Recalled => ["cancelling", "", ""],
        Event::ChargeStopped => ["abandoned", "", "charge is stopped"],
        Event::Abandoned => ["abandoned", "", ""],
        Event::Fenced => ["fenced", "", ""],
        Event::RefundDue { .. } => ["refunding", "", "refund"],
        Event::Refunded { .. } => ["refunded", "`payment-refunded`", ""],
        Event::RefundFailed { .. } => ["needs review (refund failed)", "", ""],
        Event::Settled { .. } => ["refunded", "`payment-refunded`", "refund is stopped"],
    }
}

#[test]
fn the_matrix_tells_every_cell() {
    let columns: Vec<&str> =
        ["stage"].into_iter().chain(commands().map(|(name, _)| name)).collect();
    let rows: BTreeMap<String, Vec<String>> =
        rows(SOURCE, &columns).into_iter().map(|mut row| (row.remove(0), row)).collect();
    assert_eq!(rows.len(), STAGES.len());
    for stage in STAGES {
        for (told, (name, command)) in rows[stage].iter().zip(commands()) {
            let seen = match answer(stage, &command) {
                Ok(events) if events.is_empty() => ".",
                Ok(_) => "+",
                Err(_) => "x",
            };
            assert_eq!(told, seen, "{stage}, {name}");
        }
    }
}

#[test]
fn the_table_tells_all_that_happens() {
    let mut answers = Vec::new();
    for stage in STAGES {
        for (name, command) in commands() {
            match answer(stage, &command) {
                Ok(events) if !events.is_empty() => answers.push(Answered {
                    stage: stage.to_owned(),
                    command: name.to_owned(),
                    what: what(&events),
                }),
                Ok(_) | Err(_) => {}
            }
        }
    }
    assert_told(&rows(SOURCE, &["stage", "command", "happens", "said", "job"]), &answers);
}
