//! Counts of the payments that have not ended.

use sqlx::PgConnection;

/// How many payments stand at a stage, and for how many seconds the one has that changed first;
/// counted no further than `n_max`.
pub(crate) async fn count(
    conn: &mut PgConnection,
    stages: &[&str],
    n_max: i64,
) -> Result<Vec<(String, i64, f64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT stage, payments, age FROM unnest($1::text[]) AS asked (stage)
         CROSS JOIN LATERAL (
             SELECT count(*) AS payments,
                    coalesce(extract(epoch FROM now() - min(updated_at)), 0)::float8 AS age
             FROM (
                 SELECT updated_at FROM payments
                 WHERE payments.stage = asked.stage ORDER BY order_id LIMIT $2
             ) AS standing
         ) AS counted",
    )
    .bind(stages)
    .bind(n_max)
    .fetch_all(conn)
    .await
}
