//! The table in the module's doc, cell by cell, for every kind of notice.

use shared::decider::{Decider as _, table::rows};

use super::*;

const STAGES: [&str; 8] = [
    "none, contact known",
    "none, contact unknown",
    "none, its order's end is known",
    "waiting",
    "due",
    "sent",
    "failed",
    "skipped",
];

/// The history that leads there; none if no notice of that kind can be there.
fn history(stage: &str, kind: Kind) -> Option<Vec<Event>> {
    let of_confirmed = |history| (kind == Kind::Confirmed).then_some(history);
    match stage {
        "none, contact known" => Some(vec![known()]),
        "none, contact unknown" => Some(vec![]),
        "none, its order's end is known" => of_confirmed(vec![known(), due(Kind::Cancelled)]),
        "waiting" => Some(vec![deferred(kind)]),
        "due" => Some(vec![known(), due(kind)]),
        "sent" => Some(vec![known(), due(kind), sent(kind)]),
        "failed" => Some(vec![known(), due(kind), failed(kind)]),
        "skipped" => of_confirmed(vec![known(), due(kind), skipped(true), due(Kind::Refunded)]),
        _ => panic!("no stage is called {stage}"),
    }
}

/// What becomes of the notice of this kind.
fn happens(history: &[Event], command: &Command, kind: Kind) -> &'static str {
    let state = decider::replay::<Correspondence>(history);
    let Ok(events) = Correspondence::decide(&state, command) else { return "rejected" };
    let told: Vec<&str> = events.iter().filter_map(|it| of_kind(it, kind)).collect();
    match told[..] {
        [] => "nothing",
        [one] => one,
        _ => panic!("more than one thing happens to a notice: {told:?}"),
    }
}

fn of_kind(event: &Event, kind: Kind) -> Option<&'static str> {
    let (of, what) = match event {
        Event::ContactKnown { .. } => return None,
        Event::Deferred { occasion } => (occasion.kind(), "waiting"),
        Event::FellDue { occasion, .. } => (occasion.kind(), "due"),
        Event::Skipped { occasion, .. } => (occasion.kind(), "skipped"),
        Event::Sent { kind, .. } => (*kind, "sent"),
        Event::Failed { kind, .. } => (*kind, "failed"),
    };
    (of == kind).then_some(what)
}

#[test]
fn the_table_tells_every_cell() {
    let source = include_str!("../../notification.rs");
    let columns = ["notice", "contact", "told of", "its order's end", "sent", "given up"];
    let rows = rows(source, &columns);
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), STAGES);
    for (row, kind) in rows.iter().flat_map(|row| Kind::ALL.map(|kind| (row, kind))) {
        let Some(history) = history(&row[0], kind) else { continue };
        let answer = |command: &Command| happens(&history, command, kind);
        assert_eq!(row[1], answer(&contact()), "{kind:?}: {row:?}");
        assert_eq!(row[2], answer(&tell(kind)), "{kind:?}: {row:?}");
        assert_eq!(row[4], answer(&record_sent(kind)), "{kind:?}: {row:?}");
        assert_eq!(row[5], answer(&record_given_up(kind)), "{kind:?}: {row:?}");
        for other in Kind::ALL.into_iter().filter(|it| *it != kind) {
            let ends = kind == Kind::Confirmed;
            let told = if ends { row[3].as_str() } else { "nothing" };
            assert_eq!(told, answer(&tell(other)), "{kind:?} after {other:?}: {row:?}");
        }
    }
}
