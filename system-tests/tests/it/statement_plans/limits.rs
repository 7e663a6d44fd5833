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
const MORE_PAGES: [(TableState, &str, u64, &str); 6] = [
    (
        TableState::Dead,
        "FROM messaging.outbox WHERE",
        1_000,
        "the floor rises once per thousand messages, so as many dead rows can be above it",
    ),
    (
        TableState::Dead,
        "WHERE kind = $1 AND state <> 'dead' AND due_at",
        5_000,
        "where jobs begin is kept in memory: the first looks of a process read all that was due",
    ),
    (
        TableState::Dead,
        "stage = 'pending' AND due_at <= now()",
        2_000,
        "the sweeper reads from the beginning when it starts, and once a minute",
    ),
    (
        TableState::Dead,
        "FROM orders WHERE (stage, order_id) <",
        150_000,
        "a page of open orders passes those that have ended since the last vacuum; people ask for it",
    ),
    (
        TableState::Dead,
        "FROM payments WHERE (stage, order_id) <",
        150_000,
        "a page of open payments passes those that have ended since the last vacuum; operators ask",
    ),
    (
        TableState::Dead,
        "FROM unnest($1::text[], $2::timestamptz[]) AS asked (stage, after)",
        10_000,
        "the first sample of a process reads from the beginning; the next are tested with their sampler",
    ),
];

/// Statements that this test does not execute, and why.
const UNSEEN: [(&str, &str); 19] = [
    ("FOR UPDATE OF job SKIP LOCKED", "only where an attempt takes longer than a renewal"),
    ("AND attempt = 1 AND coalesce(state, '') = 'performing'", "only where a worker stops"),
    ("AND coalesce(state, '') <> 'dead'", "only where a lease ran out before its attempt ended"),
    ("lost AS MATERIALIZED ( SELECT DISTINCT", "only where a topic lost messages"),
    ("SELECT again_after AS after, again_until", "only where a topic lost messages"),
    ("WITH lost AS (SELECT topic, again_after", "only where a topic lost messages"),
    ("advanced AS ( UPDATE messaging.log_loss", "only where a topic lost messages"),
    ("held AS ( INSERT INTO messaging.held_topic", "only where a topic refuses messages"),
    ("released AS ( DELETE FROM messaging.held_topic", "only where a topic refused messages"),
    ("DELETE FROM messaging.outbox USING lease WHERE outbox_id = ANY ($2)", "as above"),
    ("UPDATE messaging.dead_letter SET message_id", "only where no topic takes a message"),
    ("FROM messaging.dead_letter WHERE dead_letter_id = $1", "only where no topic took a message"),
    ("DELETE FROM messaging.inbox WHERE message_id = ANY ($1)", "only where a decider refuses one"),
    // Of the server's own tables.
    ("SELECT DISTINCT virtualtransaction", "locks"),
    ("SELECT NOT EXISTS (SELECT", "locks"),
    ("FROM pg_locks, lock", "locks"),
    ("FROM pg_settings", "settings"),
    ("SELECT pg_backend_pid()", "no table"),
    ("SELECT pg_try_advisory_lock", "no table"),
];

/// Whether a table never has more than a handful of rows.
pub(super) fn has_few_rows(table: &str) -> bool {
    FEW_ROWS.contains(&table) || table.starts_with("pg_")
}

/// The pages that an execution may read.
pub(super) fn buffers_max(plan: &ExecutedPlan, state: TableState) -> u64 {
    let more =
        MORE_PAGES.iter().find(|(of, text, ..)| *of == state && plan.statement.contains(text));
    let (_, fixed, for_each) = PAGES.into_iter().find(|(of, ..)| *of == state).unwrap();
    more.map_or(fixed, |(_, _, pages, _)| *pages) + for_each * plan.rows
}

/// Whether there is a reason why a statement is not executed.
pub(super) fn need_not_be_seen(statement: &SourceStatement) -> bool {
    UNSEEN.iter().any(|(text, _)| statement.text.contains(text))
}
