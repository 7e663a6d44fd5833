//! The tables in the module's doc, cell by cell.

use std::collections::BTreeMap;

use shared::decider::{
    Decision,
    table::{TableCell, assert_told, rows},
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

fn commands() -> [(&'static str, PaymentCommand); 18] {
    [
        ("order placed", placed()),
        ("free order placed", free_placed()),
        ("stock reserved", PaymentCommand::StockReserved),
        ("order cancelled", CANCELLED),
        ("order cancelled untouched", CANCELLED_UNTOUCHED),
        ("charged", PaymentCommand::Charged { charge: charge() }),
        ("charged wrongly", PaymentCommand::Charged { charge: wrong_charge() }),
        ("declined", declined()),
        ("gave up", REFUSED),
        ("gave up in doubt", IN_DOUBT),
        ("found charged", PaymentCommand::FoundCharged { charge: charge() }),
        ("found not charged", PaymentCommand::FoundNotCharged),
        ("not listed", PaymentCommand::NotListed),
        ("refunded", refunded()),
        ("refund gave up", GAVE_UP),
        ("accept", PaymentCommand::Accept),
        ("refund", PaymentCommand::Refund),
        ("settle", PaymentCommand::Settle),
    ]
}

fn answer(stage: &str, command: &PaymentCommand) -> Decision<Payment> {
    Payment::decide(&decider::replay::<Payment>(&history(stage)), command)
}

/// The events, the messages and the job that follow.
fn what(events: &[PaymentEvent]) -> Vec<String> {
    let told = events.iter().map(tell).collect::<Vec<_>>();
    let column = |of: fn(&[&'static str; 3]) -> &'static str| {
        told.iter().map(of).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    };
    vec![column(|items| items[0]), column(|items| items[1]), column(|items| items[2])]
}

fn tell(event: &PaymentEvent) -> [&'static str; 3] {
    match event {
        PaymentEvent::Awaited { .. } => ["awaiting stock", "", ""],
        PaymentEvent::StockHeld => ["awaiting order", "", ""],
        PaymentEvent::ChargeDue { .. } => ["charging", "", "charge"],
        PaymentEvent::Free { .. } | PaymentEvent::Paid { .. } | PaymentEvent::Accepted { .. } => {
            ["done", "`payment-done`", ""]
        }
        PaymentEvent::Failed { failure: PaymentFailure::Declined { .. } } => {
            ["failed (declined)", "`payment-failed`", ""]
        }
        PaymentEvent::Failed { failure: PaymentFailure::Unavailable } => {
            ["failed (unavailable)", "`payment-failed`", ""]
        }
        PaymentEvent::Mischarged { .. } => {
            ["needs review (wrong amount)", "`payment-under-review`", ""]
        }
        PaymentEvent::ResolveDue { .. } => ["unresolved", "", "resolve"],
        PaymentEvent::FoundUnpaid => ["failed (unavailable)", "", ""],
        PaymentEvent::DoubtRemains => {
            ["needs review (charge in doubt)", "`payment-under-review`", ""]
        }
        PaymentEvent::Recalled => ["cancelling", "", ""],
        PaymentEvent::ChargeStopped => ["abandoned", "", "charge is stopped"],
        PaymentEvent::Abandoned => ["abandoned", "", ""],
        PaymentEvent::Fenced => ["fenced", "", ""],
        PaymentEvent::RefundDue { .. } => ["refunding", "", "refund"],
        PaymentEvent::Refunded { .. } => ["refunded", "`payment-refunded`", ""],
        PaymentEvent::RefundFailed { .. } => {
            ["needs review (refund failed)", "`payment-under-review`", ""]
        }
        PaymentEvent::Settled { .. } => ["refunded", "`payment-refunded`", "refund is stopped"],
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
                Ok(events) if !events.is_empty() => answers.push(TableCell {
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
