//! All SQL of stored jobs ([`super::queue`] stores them). Bulk statements; keys locked in order.
//!
//! **Architecture invariant:** `due_at` is taken from `clock_timestamp()`, not from the start of a
//! transaction: [`super::due_floor`] relies on it.
//!
//! **Architecture invariant:** no statement scans deleted rows. Rows are found one by one, by their
//! primary key or, when they are due, in the order of that index: the settings of each connection
//! ([`crate::db`]) leave the planner nothing else. States are compared as `coalesce(state, '')`,
//! which keeps it from using the index of due jobs for a key.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    ClaimedJob,
    outcome::{CurrentRow, JobRetry, LeaseFence, LeasedJob, NextAttempt},
};
use crate::message::TraceContext;

/// Claims jobs due from `from` on, counts the attempt, and holds the jobs until the lease ends.
/// One whose lease ran out without an outcome is in doubt from now on, or gone if it was stopped.
/// Jobs in `held` are left out: the caller still performs them, and renews their leases.
pub(super) async fn claim(
    conn: &mut PgConnection,
    kind: &'static str,
    from: OffsetDateTime,
    (lease, n_max): (Duration, usize),
    held: &[(&str, LeaseFence)],
) -> Result<Vec<LeasedJob>, sqlx::Error> {
    sqlx::query(
        "WITH due AS MATERIALIZED (
             SELECT key, stopped
             FROM messaging.job
             WHERE kind = $1 AND state <> 'dead' AND due_at <= now() AND due_at >= $4
               AND key <> ALL ($5)
             ORDER BY due_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         ), gone AS (
             DELETE FROM messaging.job
             WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM due WHERE stopped))
         )
         UPDATE messaging.job
         SET state = 'performing', attempt = attempt + 1,
             in_doubt = in_doubt OR state = 'performing',
             doubts = doubts + (state = 'performing')::integer,
             due_at = clock_timestamp() + make_interval(secs => $3)
         WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM due WHERE NOT stopped))
         RETURNING key, payload, attempt, in_doubt, doubts, trace, trace_state, created_at",
    )
    .bind(kind)
    .bind(i64::try_from(n_max).unwrap_or(i64::MAX))
    .bind(lease.as_secs_f64())
    .bind(from)
    .bind(held.iter().map(|(key, _)| *key).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| {
        let attempt = row.try_get("attempt")?;
        let trace: Option<String> = row.try_get("trace")?;
        let state: Option<String> = row.try_get("trace_state")?;
        let job = ClaimedJob {
            key: row.try_get("key")?,
            payload: row.try_get::<Value, _>("payload")?,
            attempt,
            in_doubt: row.try_get("in_doubt")?,
            trace: trace.and_then(|parent| TraceContext::parse(&parent, state.as_deref())),
        };
        let fence = LeaseFence { attempt, created_at: row.try_get("created_at")? };
        let doubts: i32 = row.try_get("doubts")?;
        Ok(LeasedJob::new(job, fence, u32::try_from(doubts).unwrap_or_default()))
    })
    .collect()
}

/// Renews the leases of these attempts, each if its fence is still current. A locked row is left to
/// the next time: the transaction that stops or settles it is not waited for.
pub(super) async fn renew(
    conn: &mut PgConnection,
    kind: &'static str,
    held: &[(&str, LeaseFence)],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH held AS MATERIALIZED (
             SELECT key
             FROM messaging.job
             JOIN unnest($2::text[], $3::int4[], $4::timestamptz[])
                 AS fence (key, attempt, created_at) USING (key, attempt, created_at)
             WHERE kind = $1 AND job.key = ANY ($2) AND coalesce(state, '') = 'performing'
             ORDER BY key
             FOR UPDATE OF job SKIP LOCKED
         )
         UPDATE messaging.job SET due_at = clock_timestamp() + make_interval(secs => $5)
         WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM held))",
    )
    .bind(kind)
    .bind(held.iter().map(|(key, _)| *key).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, fence)| fence.attempt).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, fence)| fence.created_at).collect::<Vec<_>>())
    .bind(lease.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(())
}

/// A job that was born claimed, and whose attempt was never begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnbegunJob {
    pub(super) key: String,
    pub(super) created_at: OffsetDateTime,
}

/// Gives back jobs whose attempt was never begun, each if its lease is still the first one: as if
/// they were stored just now, without an attempt. Another life, so that no earlier fence fits it.
pub(super) async fn give_back(
    conn: &mut PgConnection,
    kind: &'static str,
    jobs: &[UnbegunJob],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH held AS MATERIALIZED (
             SELECT key, stopped
             FROM messaging.job
             JOIN unnest($2::text[], $3::timestamptz[]) AS fence (key, created_at)
                 USING (key, created_at)
             WHERE kind = $1 AND job.key = ANY ($2) AND attempt = 1
               AND coalesce(state, '') = 'performing'
             ORDER BY key
             FOR UPDATE OF job
         ), gone AS (
             DELETE FROM messaging.job
             WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM held WHERE stopped))
         )
         UPDATE messaging.job
         SET state = 'waiting', attempt = 0, due_at = clock_timestamp(),
             created_at = clock_timestamp()
         WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM held WHERE NOT stopped))",
    )
    .bind(kind)
    .bind(jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.created_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the rows of jobs that were done, each if its fence is still current; returns their
/// number. Finds and locks each row once, in the order of the primary key.
pub(super) async fn remove(
    conn: &mut PgConnection,
    kind: &'static str,
    done: &[(&str, LeaseFence)],
) -> Result<u64, sqlx::Error> {
    if done.is_empty() {
        return Ok(0);
    }
    // Without a join: it could be made the other way round, with each row of the kind.
    let removed = sqlx::query(
        "DELETE FROM messaging.job
         WHERE kind = $1 AND key = ANY ($2) AND coalesce(state, '') <> 'dead'
           AND attempt = ($3::int4[])[array_position($2::text[], key)]
           AND created_at = ($4::timestamptz[])[array_position($2::text[], key)]",
    )
    .bind(kind)
    .bind(done.iter().map(|(key, _)| *key).collect::<Vec<_>>())
    .bind(done.iter().map(|(_, fence)| fence.attempt).collect::<Vec<_>>())
    .bind(done.iter().map(|(_, fence)| fence.created_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

/// A job whose fence was current when its lease was given up.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct ReleasedJob {
    pub(super) key: String,
    /// The key in the list of dead letters.
    pub(super) letter_id: Uuid,
    /// The job was stopped meanwhile, and its row is deleted.
    pub(super) stopped: bool,
}

/// Gives up the lease of jobs that stay, waiting or dead, each if its fence is still current;
/// returns which they were. Jobs that were stopped meanwhile do not stay.
pub(super) async fn release(
    conn: &mut PgConnection,
    kind: &'static str,
    stays: &[&JobRetry],
) -> Result<Vec<ReleasedJob>, sqlx::Error> {
    if stays.is_empty() {
        return Ok(vec![]);
    }
    let seconds = |retry: &&JobRetry| match retry.next {
        NextAttempt::In(delay) => Some(delay.as_secs_f64()),
        NextAttempt::Dead => None,
    };
    sqlx::query_as(
        "WITH held AS MATERIALIZED (
             SELECT key, stopped, fence.seconds, fence.in_doubt, fence.error, fence.open
             FROM messaging.job
             JOIN unnest($2::text[], $3::int4[], $4::timestamptz[], $5::float8[], $6::bool[], $7::text[],
                         $8::bool[])
                 AS fence (key, attempt, created_at, seconds, in_doubt, error, open)
                 USING (key, attempt, created_at)
             WHERE kind = $1 AND job.key = ANY ($2) AND coalesce(state, '') = 'performing'
             ORDER BY key
             FOR UPDATE OF job
         ), gone AS (
             DELETE FROM messaging.job
             WHERE kind = $1 AND key = ANY (ARRAY (SELECT key FROM held WHERE stopped))
         ), released AS (
             UPDATE messaging.job
             SET state = CASE WHEN held.seconds IS NULL THEN 'dead' ELSE 'waiting' END,
                 due_at = clock_timestamp() + make_interval(secs => coalesce(held.seconds, 0)),
                 in_doubt = held.in_doubt, last_error = held.error,
                 doubts = doubts + held.open::integer
             FROM held
             WHERE job.kind = $1 AND job.key = held.key AND NOT held.stopped
               AND job.key = ANY ($2)
         )
         SELECT key, md5($1 || '/' || key)::uuid AS letter_id, stopped FROM held",
    )
    .bind(kind)
    .bind(stays.iter().map(|job_retry| job_retry.key.as_str()).collect::<Vec<_>>())
    .bind(stays.iter().map(|job_retry| job_retry.fence.attempt).collect::<Vec<_>>())
    .bind(stays.iter().map(|job_retry| job_retry.fence.created_at).collect::<Vec<_>>())
    .bind(stays.iter().map(seconds).collect::<Vec<_>>())
    .bind(stays.iter().map(|job_retry| job_retry.in_doubt).collect::<Vec<_>>())
    .bind(stays.iter().map(|job_retry| job_retry.error.as_str()).collect::<Vec<_>>())
    .bind(stays.iter().map(|job_retry| job_retry.open).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}

/// The rows of these jobs, dead ones left out. Locks nothing.
pub(super) async fn present(
    conn: &mut PgConnection,
    kind: &'static str,
    keys: &[&str],
) -> Result<HashMap<String, CurrentRow>, sqlx::Error> {
    let rows: Vec<(String, i32, OffsetDateTime, bool)> = sqlx::query_as(
        "SELECT key, attempt, created_at, state = 'performing'
         FROM messaging.job
         WHERE kind = $1 AND key = ANY ($2) AND coalesce(state, '') <> 'dead'",
    )
    .bind(kind)
    .bind(keys)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(key, attempt, created_at, performing)| {
            (key, CurrentRow { fence: LeaseFence { attempt, created_at }, performing })
        })
        .collect())
}

/// The key of the dead job with this id in the list of dead letters. Locks nothing.
pub(super) async fn find_dead(
    conn: &mut PgConnection,
    kind: &'static str,
    id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT key FROM messaging.job
         WHERE kind = $1 AND state = 'dead' AND md5(kind || '/' || key)::uuid = $2",
    )
    .bind(kind)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Begins another life of a dead job: attempts from none, due at once. Whether something is in
/// doubt is remembered. Returns the number of revived jobs.
pub(super) async fn revive(
    conn: &mut PgConnection,
    kind: &'static str,
    key: &str,
) -> Result<u64, sqlx::Error> {
    let revived = sqlx::query(
        "UPDATE messaging.job
         SET state = 'waiting', attempt = 0, doubts = 0, due_at = clock_timestamp(), created_at = now(),
             stopped = false
         WHERE kind = $1 AND key = $2 AND state = 'dead'",
    )
    .bind(kind)
    .bind(key)
    .execute(conn)
    .await?;
    Ok(revived.rows_affected())
}
