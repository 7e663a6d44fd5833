//! The table in the module's doc, cell by cell.

use shared::decider::{
    Decision, replay,
    table::{TableCell, assert_told, rows},
};

use super::*;

fn stages() -> [(&'static str, Vec<OrderEvent>); 4] {
    [
        ("none", vec![]),
        ("pending", pending()),
        ("confirmed", confirmed()),
        ("cancelled", given_up()),
    ]
}

fn commands() -> Vec<(&'static str, OrderCommand)> {
    let [released, refunded, sent, not_sent] = aftermath();
    vec![
        ("place", place()),
        ("place another", OrderCommand::Place(PlacedOrder { total: eur(501), ..placement() })),
        ("stock reserved", record(ServiceEvent::StockReserved)),
        ("stock rejected", record(rejected())),
        ("payment done", record(paid(500))),
        ("payment done otherwise", record(paid(499))),
        ("payment declined", record(failed(PaymentFailure::Declined))),
        ("payment unavailable", record(failed(PaymentFailure::Unavailable))),
        ("payment under review", record(under_review())),
        ("deadline", OrderCommand::PassDeadline { now: DUE_AT }),
        ("deadline to come", OrderCommand::PassDeadline { now: DUE_AT - Duration::MICROSECOND }),
        ("cancel", cancel()),
        ("cancel too late", OrderCommand::Cancel { now: NOW + WINDOW * 2, window: WINDOW }),
        ("stock released", record(released)),
        ("payment refunded", record(refunded)),
        ("notification sent", record(sent)),
        ("notification failed", record(not_sent)),
    ]
}

fn happens(decision: &Decision<Order>) -> String {
    let words: Vec<String> = match decision {
        Err(_) => return "rejected".to_owned(),
        Ok(events) if events.is_empty() => return "nothing".to_owned(),
        Ok(events) => events.iter().map(what).collect(),
    };
    words.join(", ")
}

fn what(event: &OrderEvent) -> String {
    match event {
        OrderEvent::Placed(_) => "pending".to_owned(),
        OrderEvent::Confirmed { .. } => "confirmed".to_owned(),
        OrderEvent::Cancelled { reason, .. } => {
            format!("cancelled ({})", reason.code().replace('-', " "))
        }
        OrderEvent::Noted(_) => "noted".to_owned(),
    }
}

fn said(decision: &Decision<Order>) -> String {
    let topic = |event: &OrderEvent| match event {
        OrderEvent::Placed(_) => Some("`order-placed`"),
        OrderEvent::Confirmed { .. } => Some("`order-confirmed`"),
        OrderEvent::Cancelled { .. } => Some("`order-cancelled`"),
        OrderEvent::Noted(_) => None,
    };
    decision.iter().flatten().filter_map(topic).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_table_tells_every_cell() {
    let mut answers = Vec::new();
    for (stage, history) in stages() {
        // Nothing is another order where there is none.
        let there = |(name, _): &(&str, OrderCommand)| (stage, *name) != ("none", "place another");
        for (name, command) in commands().into_iter().filter(there) {
            let decision = Order::decide(&replay::<Order>(&history), &command);
            let what = vec![happens(&decision), said(&decision)];
            answers.push(TableCell { stage: stage.to_owned(), command: name.to_owned(), what });
        }
    }
    assert_eq!(answers.len(), 67);
    let source = include_str!("../../order.rs");
    assert_told(&rows(source, &["stage", "command", "happens", "said"]), &answers);
}
