//! Jobs are stored and stopped in the transaction of the decision that requires it.
//!
//! The invariants of the SQL are those of [`super::store`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;

use super::handover::{BornJob, SlotReservation, WorkerRegistry};
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
    store(conn, jobs.to_vec(), &WorkerRegistry::default()).await.map(drop)
}

/// The jobs of a transaction that is not committed yet. Dropped, nothing is handed over.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct StoredJobs {
    born: BTreeMap<&'static str, (SlotReservation, Vec<BornJob>)>,
    /// The kinds of new jobs that wait in the table.
    waiting: BTreeSet<&'static str>,
}

impl StoredJobs {
    /// After the commit: hands over the jobs that were born claimed, and wakes the workers of the
    /// others.
    pub(crate) fn hand_over(self, workers: &WorkerRegistry) {
        for (slots, jobs) in self.born.into_values() {
            slots.hand_over(jobs);
        }
        self.waiting.into_iter().for_each(|kind| workers.wake(kind));
    }
}

/// Stores jobs as [`append`] does, and as many as a worker of this process has slots for as
/// [born claimed](super::handover).
pub(crate) async fn store(
    conn: &mut PgConnection,
    mut jobs: Vec<NewJob>,
    workers: &WorkerRegistry,
) -> Result<StoredJobs, Fault> {
    let mut stored = StoredJobs::default();
    if jobs.is_empty() {
        return Ok(stored);
    }
    // Sorted, so that two transactions with the same jobs do not deadlock; and each once, because
    // one statement may not write a row twice.
    jobs.sort_by(|one, other| one.key.cmp(&other.key));
    jobs.dedup_by(|one, other| one.key == other.key);
    let mut leases = Vec::with_capacity(jobs.len());
    for of_kind in jobs.chunk_by(|one, other| one.key.kind == other.key.kind) {
        let kind = of_kind[0].key.kind;
        let slots = workers.reserve(kind, of_kind.len());
        let n = slots.as_ref().map_or(0, SlotReservation::len);
        let lease = slots.as_ref().map(|slots| slots.lease().as_secs_f64());
        leases.extend((0..of_kind.len()).map(|nth| lease.filter(|_| nth < n)));
        stored.born.extend(slots.map(|slots| (kind, (slots, vec![]))));
    }
    let created = insert(conn, &jobs, &leases).await?;
    for ((job, lease), created_at) in jobs.into_iter().zip(leases).zip(created) {
        let Some(created_at) = created_at else { continue };
        let NewJob { key: JobKey { kind, key }, payload, trace } = job;
        match stored.born.get_mut(kind).filter(|_| lease.is_some()) {
            Some((slots, born)) => {
                let reserved_at = slots.reserved_at();
                born.push(BornJob { key, payload, trace, created_at, reserved_at });
            }
            None => drop(stored.waiting.insert(kind)),
        }
    }
    Ok(stored)
}

/// Inserts jobs, those with a lease (in seconds) as performing; answers for each when it was
/// created. None for one that existed, also if it was stopped and is wanted again.
async fn insert(
    conn: &mut PgConnection,
    jobs: &[NewJob],
    leases: &[Option<f64>],
) -> Result<Vec<Option<OffsetDateTime>>, Fault> {
    let traces = || jobs.iter().map(|job| job.trace.as_ref());
    let rows: Vec<(String, String, OffsetDateTime, bool)> = sqlx::query_as(
        "INSERT INTO messaging.job
             (kind, key, payload, trace, trace_state, state, attempt, due_at)
         SELECT kind, key, payload, trace, trace_state,
                CASE WHEN lease IS NULL THEN 'waiting' ELSE 'performing' END,
                (lease IS NOT NULL)::integer,
                clock_timestamp() + make_interval(secs => coalesce(lease, 0))
         FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::float8[])
             AS new_job (kind, key, payload, trace, trace_state, lease)
         ON CONFLICT (kind, key) DO UPDATE SET stopped = false WHERE job.stopped
         RETURNING kind, key, created_at, old.key IS NULL",
    )
    .bind(jobs.iter().map(|job| job.key.kind).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.key.key.as_str()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| Json(&job.payload)).collect::<Vec<_>>())
    .bind(traces().map(|trace| Some(trace?.parent.to_string())).collect::<Vec<_>>())
    .bind(traces().map(|trace| Some(trace?.state.as_ref()?.as_str())).collect::<Vec<_>>())
    .bind(leases)
    .fetch_all(conn)
    .await?;
    let new = rows.into_iter().filter(|(.., is_new)| *is_new);
    let mut created: HashMap<_, _> =
        new.map(|(kind, key, created_at, _)| ((kind, key), created_at)).collect();
    let take = |job: &NewJob| created.remove(&(job.key.kind.to_owned(), job.key.key.clone()));
    Ok(jobs.iter().map(take).collect())
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
