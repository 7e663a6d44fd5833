//! How many pages a statement may read, and what need not keep to the rules, with the reason.

use super::{collected::TableState, plan::ExecutedPlan, source::SourceStatement};

/// Tables that never have more than a handful of rows: nothing is gained by an index.
const FEW_ROWS: [&str; 7] = [
    // One row, by its primary key.
    "outbox_floor",
    "outbox_outbox_id_seq",
    "relay_lease",
    // A row for each topic that a service writes, or partition of it.
    "held_topic",
    "log_loss",
    "published_up_to",
    // A row for each migration.
    "_sqlx_migrations",
];

/// Pages that any statement may read, and pages for each row that it is about: a way down an index
/// of a hundred thousand rows is three pages, the row is one, and a row that is written is written
/// to each index of its table.
const PAGES: [(TableState, u64, u64); 3] = [
    (TableState::Empty, 40, 20),
    (TableState::Full, 60, 25),
    // Beside dead rows: those between a floor and the first living row.
    (TableState::Dead, 200, 40),
];

/// Statements that may read more pages in this state, and why.
const MORE_PAGES: [(TableState, &str, u64, &str); 0] = [];

/// Statements that this test does not execute, and why.
const UNSEEN: [(&str, &str); 0] = [];

/// Whether a table never has more than a handful of rows.
pub(super) fn has_few_rows(table: &str) -> bool {
    FEW_ROWS.contains(&table) || table.starts_with("pg_")
}

/// The pages that an execution may read.
pub(super) fn buffers_max(plan: &ExecutedPlan, state: TableState) -> u64 {
    let more = MORE_PAGES.iter().find(|(of, text, ..)| *of == state && plan.statement.contains(text));
    let (_, fixed, for_each) = PAGES.into_iter().find(|(of, ..)| *of == state).unwrap();
    more.map_or(fixed, |(_, _, pages, _)| *pages) + for_each * plan.rows
}

/// Whether there is a reason why a statement is not executed.
pub(super) fn need_not_be_seen(statement: &SourceStatement) -> bool {
    UNSEEN.iter().any(|(text, _)| statement.text.contains(text))
}
