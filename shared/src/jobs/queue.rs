//! Jobs are stored and stopped in the transaction of the decision that requires it.
//!
//! The invariants of the SQL are those of [`super::store`].

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use crate::{fault::Fault, message::TraceContext};

/// The identity of a job for good: its action (`kind`) and its subject (`key`). One of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey {
    /// The kind of the job, which names the worker.
    pub kind: &'static str,
    /// The subject; the stable part of the effect's idempotency key.
    pub key: String,
}

/// A job that is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// The name under which the job exists once.
    pub key: JobKey,
    /// The data that the worker needs.
    pub payload: Value,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// Stores jobs as part of the caller's transaction. A job that exists already stays unchanged; a
/// stopped one is wanted again.
pub async fn append(conn: &mut PgConnection, jobs: &[NewJob]) -> Result<(), Fault> {
    if jobs.is_empty() {
        return Ok(());
    }
    let mut jobs: Vec<&NewJob> = jobs.iter().collect();
    // Sorted, so that two transactions with the same jobs do not deadlock; and each once, because
    // one statement may not write a row twice.
    jobs.sort_by_key(|job| &job.key);
    jobs.dedup_by_key(|job| &job.key);
    let traces = || jobs.iter().map(|job| job.trace.as_ref());
    sqlx::query(
        "INSERT INTO messaging.job (kind, key, payload, trace, trace_state, due_at)
         SELECT *, clock_timestamp()
         FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[])
         ON CONFLICT (kind, key) DO UPDATE SET stopped = false WHERE job.stopped",
    )
    .bind(jobs.iter().map(|job| job.key.kind).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.key.key.as_str()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| Json(&job.payload)).collect::<Vec<_>>())
    .bind(traces().map(|trace| Some(trace?.parent.to_string())).collect::<Vec<_>>())
    .bind(traces().map(|trace| Some(trace?.state.as_ref()?.as_str())).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Stops jobs: none of them is attempted again. A running attempt continues, and is recorded if it
/// succeeds. A job whose earlier attempt is in doubt is stopped too: where that matters, ask
/// [`lock_untouched`] first.
pub async fn stop(conn: &mut PgConnection, keys: &[JobKey]) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH asked AS MATERIALIZED (
             SELECT kind, key, state
             FROM messaging.job
             JOIN unnest($1::text[], $2::text[]) AS asked (kind, key) USING (kind, key)
             WHERE job.kind = ANY ($1) AND job.key = ANY ($2)
             ORDER BY kind, key
             FOR UPDATE OF job
         ), held AS (
             UPDATE messaging.job SET stopped = true
             FROM asked
             WHERE job.kind = asked.kind AND job.key = asked.key AND asked.state = 'performing'
               AND job.kind = ANY ($1) AND job.key = ANY ($2)
         )
         DELETE FROM messaging.job USING asked
         WHERE job.kind = asked.kind AND job.key = asked.key AND asked.state <> 'performing'
           AND job.kind = ANY ($1) AND job.key = ANY ($2)",
    )
    .bind(keys.iter().map(|job_key| job_key.kind).collect::<Vec<_>>())
    .bind(keys.iter().map(|job_key| job_key.key.as_str()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The jobs among these that had no effect: no attempt was begun, or each was refused for certain.
/// That holds until the caller's transaction ends: their rows are locked, and claims skip locked
/// rows.
pub async fn lock_untouched(
    conn: &mut PgConnection,
    kind: &'static str,
    keys: &[String],
) -> Result<Vec<String>, Fault> {
    if keys.is_empty() {
        return Ok(vec![]);
    }
    let untouched = sqlx::query_scalar(
        "SELECT key FROM messaging.job
         WHERE kind = $1 AND key = ANY ($2) AND coalesce(state, '') = 'waiting' AND NOT in_doubt
         ORDER BY key
         FOR UPDATE",
    )
    .bind(kind)
    .bind(keys)
    .fetch_all(conn)
    .await?;
    Ok(untouched)
}
