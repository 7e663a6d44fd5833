//! The record of decisions: who, what, when, why, and the outcome.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Actor;

/// The decision that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetterAction {
    Redrive,
    Discard,
}

/// The outcome of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecisionOutcome {
    Processed,
    StillDead,
    PutBack,
    Discarded,
}

impl LetterAction {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
        }
    }
}

impl DecisionOutcome {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::StillDead => "still-dead",
            Self::PutBack => "put-back",
            Self::Discarded => "discarded",
        }
    }
}

/// Registers the counter of each decision at 0.
pub(crate) fn announce() {
    for (action, outcomes) in [
        (
            LetterAction::Redrive,
            &[DecisionOutcome::Processed, DecisionOutcome::StillDead, DecisionOutcome::PutBack][..],
        ),
        (LetterAction::Discard, &[DecisionOutcome::Discarded]),
    ] {
        for outcome in outcomes {
            count(action, *outcome, 0);
        }
    }
}

fn count(action: LetterAction, outcome: DecisionOutcome, n: u64) {
    let labels = [("action", action.code()), ("outcome", outcome.code())];
    metrics::counter!("dead_letter_decisions_total", &labels).increment(n);
}

/// Records a decision about an open letter, in the transaction of its outcome. To be called before
/// the letter is changed: its subject is copied from the row.
pub(crate) async fn record(
    conn: &mut PgConnection,
    letter_id: Uuid,
    (action, outcome): (LetterAction, DecisionOutcome),
    by: &Actor,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO messaging.dead_letter_decision
             (letter_id, source, topic, key, action, outcome, decided_by, reason)
         SELECT letter_id, source, topic, encode(key, 'escape'), $2, $3, $4, $5
         FROM messaging.open_letter WHERE letter_id = $1",
    )
    .bind(letter_id)
    .bind(action.code())
    .bind(outcome.code())
    .bind(by.name())
    .bind(by.reason())
    .execute(conn)
    .await?;
    count(action, outcome, 1);
    Ok(())
}
