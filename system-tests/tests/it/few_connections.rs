//! A database that allows a service fewer connections than its pool wants.

use futures_util::{StreamExt as _, stream};
use nix::sys::signal::Signal;
use sagactl::{audit::Expected, client::Answer, fleet::Member};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::stage::{self, Stage, wish};

/// Orders, and how many customers there are at once.
const CROWD: usize = 960;
const AT_ONCE: usize = 64;

/// One is the relay's. A pool wants 16 by itself.
const ALLOWED: i32 = 4;

/// From here on, order-service may open this number of connections; -1 is no limit.
async fn allow(stage: &Stage, connections: i32) {
    let url = stage.fleet.database(Member::Orders).unwrap();
    let role = url.split_once("://").unwrap().1.split_once(':').unwrap().0;
    let sql = format!("ALTER ROLE {role} CONNECTION LIMIT {connections}");
    let mut conn = PgConnection::connect(&stage.fleet.stack().postgres).await.unwrap();
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_by_the_few_connections_that_the_database_allows_and_nobody_is_sent_away()
{
    let mut stage = stage::open().await;
    stage.fleet.end(Member::Orders, Signal::SIGTERM).await.unwrap();
    allow(&stage, ALLOWED).await;
    stage.fleet.restart(Member::Orders).await.unwrap();
    let order = async |n: usize| {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        match stage.orders.place(&format!("few-{n}"), &wish).await {
            Ok(Answer::Accepted(order)) => {
                let shown = stage.orders.get(order.id).await;
                shown.err().map(|error| format!("order {n} is not shown: {error:#}"))
            }
            otherwise => Some(format!("order {n} is not accepted: {otherwise:?}")),
        }
    };
    let sent_away: Vec<String> = stream::iter(0..CROWD)
        .map(order)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |it| it)
        .collect()
        .await;
    assert_eq!(sent_away, Vec::<String>::new());
    let named = "the database allows no more connections";
    let log = std::fs::read_to_string(stage.fleet.log_file(Member::Orders)).unwrap();
    assert!(
        log.lines().any(|it| it.contains(named) && it.contains("53300")),
        "it came to no limit"
    );
    // The audit comes under the same role.
    allow(&stage, -1).await;
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders.values().sum::<i64>(), i64::try_from(CROWD).unwrap());
}
