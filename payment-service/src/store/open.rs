//! Counts of the payments that have not ended.

use std::collections::HashMap;

use shared::sampled_metrics::OVERLAP;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Payments that stand at the same stage.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct OpenCount {
    pub(crate) stage: String,
    pub(crate) payments: i64,
    /// For how many seconds the one has stood there that changed first.
    pub(crate) age: f64,
    /// No payment at this stage changed earlier, nor will one appear that did.
    pub(crate) since: OffsetDateTime,
}

/// How many payments stand at each of these stages, of those that changed since the time given;
/// counted no further than `n_max`.
pub(crate) async fn count(
    conn: &mut PgConnection,
    stages: &[&str],
    since: &HashMap<String, OffsetDateTime>,
    n_max: i64,
) -> Result<Vec<OpenCount>, sqlx::Error> {
    let since = |stage: &&str| since.get(*stage).copied().unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // The stages once more and as they are in the index `payments_open`, or it is not used. A row's
    // `updated_at` is the begin of the transaction that wrote it.
    sqlx::query_as(
        "SELECT stage, payments, age, since FROM unnest($1::text[], $2::timestamptz[]) AS asked (stage, after)
         CROSS JOIN LATERAL (
             SELECT count(*) AS payments,
                    coalesce(extract(epoch FROM now() - min(updated_at)), 0)::float8 AS age,
                    least(min(updated_at), now() - make_interval(secs => $4)) AS since
             FROM (
                 SELECT updated_at FROM payments
                 WHERE payments.stage IN ('awaiting-stock', 'awaiting-order', 'charging',
                           'cancelling', 'unresolved', 'refunding', 'needs-review')
                   AND payments.stage = asked.stage AND updated_at >= after
                 ORDER BY updated_at LIMIT $3
             ) AS standing
         ) AS counted",
    )
    .bind(stages)
    .bind(stages.iter().map(since).collect::<Vec<_>>())
    .bind(n_max)
    .bind(OVERLAP.as_secs_f64())
    .fetch_all(conn)
    .await
}
