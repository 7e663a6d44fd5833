//! Samples the number of jobs of a kind, and the delay of the latest one.

use metrics::{describe_gauge, gauge};
use sqlx::PgConnection;
use tokio::sync::Mutex;

use super::due_floor::DueFloor;
use crate::sampled_metrics::{self, FAR_ENOUGH, MetricSampler};

/// Counts the jobs of one kind.
#[derive(Debug)]
pub struct JobSampler {
    kind: &'static str,
    beginning: Mutex<DueFloor>,
}

impl JobSampler {
    /// A sampler of the jobs of one kind.
    pub fn of_kind(kind: &'static str) -> Self {
        describe_gauge!("jobs_waiting", "Jobs that wait for their time or for a worker, by kind.");
        describe_gauge!("jobs_performing", "Jobs that a worker holds, by kind.");
        describe_gauge!("jobs_given_up", "Jobs that were given up and wait for a person, by kind.");
        describe_gauge!(
            "jobs_due_age_seconds",
            "For how long the first of the due jobs has been due, by kind; 0 if none is."
        );
        Self { kind, beginning: Mutex::new(DueFloor::of(kind)) }
    }
}

impl MetricSampler for JobSampler {
    fn of(&self) -> &'static str {
        self.kind
    }

    async fn sample(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let from = self.beginning.lock().await.get(conn).await?;
        let (waiting, performing, given_up, due): (i64, i64, i64, f64) = sqlx::query_as(STATEMENT)
            .bind(self.kind)
            .bind(FAR_ENOUGH)
            .bind(from)
            .persistent(false)
            .fetch_one(conn)
            .await?;
        let kind = self.kind;
        for (name, n) in [
            ("jobs_waiting", waiting),
            ("jobs_performing", performing),
            ("jobs_given_up", given_up),
        ] {
            gauge!(name, "kind" => kind).set(sampled_metrics::rows(n));
        }
        gauge!("jobs_due_age_seconds", "kind" => kind).set(due.max(0.0));
        Ok(())
    }
}

/// Uses `job_due` and `job_dead`. A job whose lease ran out is due again.
const STATEMENT: &str = "
    WITH alive AS MATERIALIZED (
        SELECT state, due_at FROM messaging.job
        WHERE kind = $1 AND state <> 'dead' AND due_at >= $3 ORDER BY due_at LIMIT $2
    ), dead AS MATERIALIZED (
        SELECT kind FROM messaging.job WHERE state = 'dead' ORDER BY due_at LIMIT $2
    )
    SELECT count(*) FILTER (WHERE state = 'waiting'),
           count(*) FILTER (WHERE state = 'performing'),
           (SELECT count(*) FROM dead WHERE kind = $1),
           coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8
    FROM alive";
