//! How many letters are open, why, and how much waits behind them.

use std::collections::BTreeMap;

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;

use super::Reason;
use crate::census::{self, Count, FAR_ENOUGH};

/// Counts the messages among the letters; jobs that were given up are counted with the jobs.
#[derive(Clone, Copy, Debug)]
pub struct Letters(());

impl Letters {
    /// Gives the numbers their lines of help.
    pub fn describe() -> Self {
        describe_gauge!(
            "dead_letters",
            "Messages that could not be taken in and are not closed, by reason and state: undecided, or settled while others still wait behind them."
        );
        describe_gauge!(
            "dead_letter_age_seconds",
            "How long the oldest open dead letter has been dead; 0 if there is none."
        );
        describe_gauge!(
            "dead_letters_parked",
            "Messages that wait behind the letter of their lane."
        );
        Self(())
    }
}

/// How many, and for how many seconds the oldest.
type Group = (i64, f64);

impl Count for Letters {
    fn of(&self) -> &'static str {
        "dead-letters"
    }

    async fn look(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows: Vec<(Option<String>, bool, i64, f64)> =
            sqlx::query_as(STATEMENT).bind(FAR_ENOUGH).fetch_all(conn).await?;
        let mut groups: BTreeMap<(Option<String>, bool), Group> = rows
            .into_iter()
            .map(|(reason, settled, n, age)| ((reason, settled), (n, age)))
            .collect();
        let (parked, _) = groups.remove(&(None, false)).unwrap_or_default();
        gauge!("dead_letters_parked").set(census::rows(parked));
        let oldest = groups.values().map(|(_, age)| *age).fold(0.0, f64::max);
        gauge!("dead_letter_age_seconds").set(oldest);
        for reason in Reason::ALL {
            for (state, settled) in [("undecided", false), ("settled", true)] {
                let key = (Some(reason.code().to_owned()), settled);
                let (n, _) = groups.get(&key).copied().unwrap_or_default();
                let labels = [("reason", reason.code()), ("state", state)];
                gauge!("dead_letters", &labels).set(census::rows(n));
            }
        }
        Ok(())
    }
}

/// By `dead_letter_open`, and by the key of what is parked: the row without a reason.
const STATEMENT: &str = "
    WITH open AS MATERIALIZED (
        SELECT reason, settled IS NOT NULL AS settled, failed_at FROM messaging.dead_letter
        WHERE closed_at IS NULL ORDER BY failed_at, dead_letter_id LIMIT $1
    ), parked AS MATERIALIZED (
        SELECT parked_id FROM messaging.parked ORDER BY parked_id LIMIT $1
    )
    SELECT reason, settled, count(*), extract(epoch FROM now() - min(failed_at))::float8
    FROM open GROUP BY reason, settled
    UNION ALL
    SELECT NULL, false, count(*), 0 FROM parked";
