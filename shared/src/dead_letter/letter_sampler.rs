//! Samples how many letters are open, by reason.

use std::collections::BTreeMap;

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::FailureReason;
use crate::sampled_metrics::{self, FAR_ENOUGH, MetricSampler, OVERLAP, ScanFloor};

/// Counts the letters of messages; dead jobs are counted with the jobs.
#[derive(Debug)]
pub struct LetterSampler(ScanFloor<OffsetDateTime>);

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
        Self(ScanFloor::default())
    }
}

impl MetricSampler for LetterSampler {
    fn of(&self) -> &'static str {
        "dead-letters"
    }

    async fn sample(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let from = self.0.get().unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let rows: Vec<(Option<String>, i64, f64, OffsetDateTime)> = sqlx::query_as(STATEMENT)
            .bind(FAR_ENOUGH)
            .bind(from)
            .bind(OVERLAP.as_secs_f64())
            .fetch_all(conn)
            .await?;
        let oldest = rows.iter().map(|(_, _, age, _)| *age).fold(0.0, f64::max);
        gauge!("dead_letter_age_seconds").set(oldest);
        if let Some(first) = rows.iter().map(|(.., first)| *first).min() {
            self.0.raise(first);
        }
        let letters: BTreeMap<String, i64> =
            rows.into_iter().filter_map(|(reason, letters, ..)| Some((reason?, letters))).collect();
        for reason in FailureReason::ALL {
            let letters = letters.get(reason.code()).copied().unwrap_or_default();
            gauge!("dead_letters", "reason" => reason.code()).set(sampled_metrics::rows(letters));
        }
        Ok(())
    }
}

/// Uses the index `dead_letter_open`. `failed_at` is the begin of the transaction that stores a
/// letter. The row without a reason tells from where on letters can be open.
const STATEMENT: &str = "
    WITH open AS MATERIALIZED (
        SELECT reason, failed_at FROM messaging.dead_letter
        WHERE closed_at IS NULL AND failed_at >= $2
        ORDER BY failed_at, dead_letter_id LIMIT $1
    )
    SELECT reason, count(*), extract(epoch FROM now() - min(failed_at))::float8, min(failed_at)
    FROM open GROUP BY reason
    UNION ALL
    SELECT NULL, 0, 0, now() - make_interval(secs => $3)";
