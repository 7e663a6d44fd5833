//! The record of decisions: who, what, when, why, and what came of it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::By;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Redrive,
    Discard,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    TakenIn,
    StillDead,
    PutBack,
    Discarded,
}

impl Action {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
        }
    }
}

impl Outcome {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TakenIn => "taken-in",
            Self::StillDead => "still-dead",
            Self::PutBack => "put-back",
            Self::Discarded => "discarded",
        }
    }
}

/// Shows how often each decision was made from 0 on.
pub(crate) fn announce() {
    for (action, outcomes) in [
        (Action::Redrive, &[Outcome::TakenIn, Outcome::StillDead, Outcome::PutBack][..]),
        (Action::Discard, &[Outcome::Discarded]),
    ] {
        for outcome in outcomes {
            count(action, *outcome, 0);
        }
    }
}

fn count(action: Action, outcome: Outcome, n: u64) {
    let labels = [("action", action.code()), ("outcome", outcome.code())];
    metrics::counter!("dead_letter_decisions_total", &labels).increment(n);
}

/// Records a decision about an open letter, in the transaction of what came of it. To be called
/// before the letter is changed: what it was about is copied from there.
pub(crate) async fn record(
    conn: &mut PgConnection,
    letter_id: Uuid,
    (action, outcome): (Action, Outcome),
    by: &By,
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
