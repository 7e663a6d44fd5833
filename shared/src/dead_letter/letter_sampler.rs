//! Samples how many letters are open, by reason.

use std::collections::BTreeMap;

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;

use super::FailureReason;
use crate::sampled_metrics::{self, FAR_ENOUGH, MetricSampler};

/// Counts the letters of messages; dead jobs are counted with the jobs.
#[derive(Clone, Copy, Debug)]
pub struct LetterSampler(());

impl LetterSampler {
    /// Describes the metrics of this sampler.
    pub fn describe() -> Self {
        describe_gauge!(
            "dead_letters",
            "Open dead letters: messages that could not be processed, by reason."
        );
        describe_gauge!(
            "dead_letter_age_seconds",
            "How long the oldest open dead letter has been dead; 0 if there is none."
        );
        Self(())
    }
}

impl MetricSampler for LetterSampler {
    fn of(&self) -> &'static str {
        "dead-letters"
    }

    async fn sample(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows: Vec<(String, i64, f64)> =
            sqlx::query_as(STATEMENT).bind(FAR_ENOUGH).fetch_all(conn).await?;
        let oldest = rows.iter().map(|(_, _, age)| *age).fold(0.0, f64::max);
        gauge!("dead_letter_age_seconds").set(oldest);
        let letters: BTreeMap<String, i64> =
            rows.into_iter().map(|(reason, letters, _)| (reason, letters)).collect();
        for reason in FailureReason::ALL {
            let letters = letters.get(reason.code()).copied().unwrap_or_default();
            gauge!("dead_letters", "reason" => reason.code()).set(sampled_metrics::rows(letters));
        }
        Ok(())
    }
}

/// Uses the index `dead_letter_open`.
const STATEMENT: &str = "
    WITH open AS MATERIALIZED (
        SELECT reason, failed_at FROM messaging.dead_letter
        WHERE closed_at IS NULL ORDER BY failed_at, dead_letter_id LIMIT $1
    )
    SELECT reason, count(*), extract(epoch FROM now() - min(failed_at))::float8
    FROM open GROUP BY reason";
