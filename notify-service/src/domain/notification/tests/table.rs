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

/// The history that leads to this state; `None` if no notice of that kind can have the state.
fn history(stage: &str, kind: NotificationKind) -> Option<Vec<NotificationEvent>> {
    let of_confirmed = |history| (kind == NotificationKind::Confirmed).then_some(history);
    match stage {
        "none, contact known" => Some(vec![known()]),
        "none, contact unknown" => Some(vec![]),
        "none, its order's end is known" => {
            of_confirmed(vec![known(), due(NotificationKind::Cancelled)])
        }
        "waiting" => Some(vec![deferred(kind)]),
        "due" => Some(vec![known(), due(kind)]),
        "sent" => Some(vec![known(), due(kind), sent(kind)]),
        "failed" => Some(vec![known(), due(kind), failed(kind)]),
        "skipped" => {
            of_confirmed(vec![known(), due(kind), skipped(true), due(NotificationKind::Refunded)])
        }
        _ => panic!("no stage is called {stage}"),
    }
}

/// The change of the notice of this kind.
fn happens(
    history: &[NotificationEvent],
    command: &NotificationCommand,
    kind: NotificationKind,
) -> &'static str {
    let state = decider::replay::<OrderNotifications>(history);
    let Ok(events) = OrderNotifications::decide(&state, command) else { return "rejected" };
    let told: Vec<&str> = events.iter().filter_map(|event| of_kind(event, kind)).collect();
    match told[..] {
        [] => "nothing",
        [one] => one,
        _ => panic!("more than one thing happens to a notice: {told:?}"),
    }
}

fn of_kind(event: &NotificationEvent, kind: NotificationKind) -> Option<&'static str> {
    let (of, what) = match event {
        NotificationEvent::ContactKnown { .. } => return None,
        NotificationEvent::Deferred { occasion } => (occasion.kind(), "waiting"),
        NotificationEvent::FellDue { occasion, .. } => (occasion.kind(), "due"),
        NotificationEvent::Skipped { occasion, .. } => (occasion.kind(), "skipped"),
        NotificationEvent::Sent { kind, .. } => (*kind, "sent"),
        NotificationEvent::Failed { kind, .. } => (*kind, "failed"),
    };
    (of == kind).then_some(what)
}

#[test]
fn the_table_tells_every_cell() {
    let source = include_str!("../../notification.rs");
    let columns = ["notice", "contact", "told of", "its order's end", "sent", "given up"];
    let rows = rows(source, &columns);
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), STAGES);
    for (row, kind) in rows.iter().flat_map(|row| NotificationKind::ALL.map(|kind| (row, kind))) {
        let Some(history) = history(&row[0], kind) else { continue };
        let answer = |command: &NotificationCommand| happens(&history, command, kind);
        assert_eq!(row[1], answer(&contact()), "{kind:?}: {row:?}");
        assert_eq!(row[2], answer(&tell(kind)), "{kind:?}: {row:?}");
        assert_eq!(row[4], answer(&record_sent(kind)), "{kind:?}: {row:?}");
        assert_eq!(row[5], answer(&record_given_up(kind)), "{kind:?}: {row:?}");
        for other in NotificationKind::ALL.into_iter().filter(|one_kind| *one_kind != kind) {
            let ends = kind == NotificationKind::Confirmed;
            let told = if ends { row[3].as_str() } else { "nothing" };
            assert_eq!(told, answer(&tell(other)), "{kind:?} after {other:?}: {row:?}");
        }
    }
}
