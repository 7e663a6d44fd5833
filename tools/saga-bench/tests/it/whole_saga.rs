//! Every order of the saga in one process ends as it has to, or its costs would be those of
//! something else.

use saga_bench::{saga::OneProcessSaga, saga_cost::prepare, server_counters::ServerCounter};
use sqlx::PgPool;

async fn counted(pool: &PgPool, query: &'static str) -> Vec<(String, i64)> {
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

fn expected(counts: &[(&str, i64)]) -> Vec<(String, i64)> {
    counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_in_every_way_and_nothing_is_left_to_do() {
    let urls = devstack::shared().await.urls();
    let prefix = devstack::unique_prefix();
    let mut counter = ServerCounter::connect(&urls.postgres).await.unwrap();
    let settings =
        prepare(&mut counter, &urls.postgres, (&urls.registry, &prefix), 7).await.unwrap();
    let mut saga = Box::pin(OneProcessSaga::start(&settings)).await.unwrap();
    let totals = Box::pin(saga.run(40)).await.unwrap();
    assert_eq!(totals.orders, 40);
    let [orders, stock, payments, notify] = saga.pools();
    let stages =
        "SELECT concat_ws(': ', stage, reason), count(*) FROM orders GROUP BY 1 ORDER BY 1";
    assert_eq!(
        counted(orders, stages).await,
        expected(&[
            ("cancelled: out-of-stock", 2),
            ("cancelled: payment-declined", 2),
            ("cancelled: requested", 4),
            ("confirmed", 32),
        ])
    );
    let stages = "SELECT stage, count(*) FROM reservations GROUP BY 1 ORDER BY 1";
    let ends = [("rejected", 2), ("released", 6), ("sold", 32)];
    assert_eq!(counted(stock, stages).await, expected(&ends));
    let stages = "SELECT stage, count(*) FROM payments GROUP BY 1 ORDER BY 1";
    let ends = [("abandoned", 4), ("done", 32), ("failed", 2), ("refunded", 2)];
    assert_eq!(counted(payments, stages).await, expected(&ends));
    let stages = "SELECT kind || ': ' || stage, count(*) FROM notices GROUP BY 1 ORDER BY 1";
    let ends = [("cancelled: sent", 8), ("confirmed: sent", 34), ("refunded: sent", 2)];
    assert_eq!(counted(notify, stages).await, expected(&ends));
    for pool in saga.pools() {
        let left = "SELECT 'left', (SELECT count(*) FROM messaging.outbox)
                    + (SELECT count(*) FROM messaging.job)
                    + (SELECT count(*) FROM messaging.dead_letter)";
        assert_eq!(counted(pool, left).await, expected(&[("left", 0)]));
    }
    saga.close().await;
}
