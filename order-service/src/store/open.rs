//! Counts of the orders that have not ended.

use sqlx::PgConnection;
use uuid::Uuid;

/// Open orders at the same stage.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct OpenCount {
    /// Whether their stock is held, according to the messages read so far.
    pub held: bool,
    pub orders: i64,
    /// For how many seconds the oldest has been open.
    pub age: f64,
    /// The number of them that are overdue.
    pub overdue: i64,
    /// The first of them.
    pub first: Uuid,
}

/// Counts the open orders from this id on, oldest first, no further than `n_max`.
pub async fn count(
    conn: &mut PgConnection,
    from: Uuid,
    n_max: i64,
) -> Result<Vec<OpenCount>, sqlx::Error> {
    // Lateral with a limit, so that each order is one look into the history's key: an EXISTS may be
    // answered by reading the whole history.
    sqlx::query_as(
        "WITH open AS MATERIALIZED (
             SELECT order_id, placed_at, due_at FROM orders
             WHERE stage = 'pending' AND order_id >= $2 ORDER BY order_id LIMIT $1
         )
         SELECT reserved IS NOT NULL AS held, count(*) AS orders,
                extract(epoch FROM now() - min(placed_at))::float8 AS age,
                count(*) FILTER (WHERE due_at < now()) AS overdue,
                (array_agg(open.order_id ORDER BY open.order_id))[1] AS first
         FROM open LEFT JOIN LATERAL (
             SELECT what FROM order_history
             WHERE order_history.order_id = open.order_id AND what = 'stock-reserved' LIMIT 1
         ) AS heard (reserved) ON true
         GROUP BY held",
    )
    .bind(n_max)
    .bind(from)
    .fetch_all(conn)
    .await
}
