//! A database that allows a service fewer connections than its pool wants.
//!
//! A request waits for a connection for 5 s. On a machine that is busy with other work some come to that
//! limit; where a connection that is free is not handed on, one of fifteen does, on any machine.

use std::cell::Cell;

use futures_util::{StreamExt as _, stream};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use xtask::{
    client::PlaceAnswer,
    cluster::{AuditExpectation, ProcessName},
};

use crate::stage::{self, Stage, wish};

/// Orders, and how many customers there are at once.
const CROWD: usize = 960;
const AT_ONCE: usize = 64;

/// Requests that may be told to come back, of two for each order.
const BUSY_MAX: u32 = 40;

/// One is the relay's. A pool wants 16 by itself.
const ALLOWED: i32 = 4;

/// From here on, order-service may open this number of connections; -1 is no limit.
async fn allow(stage: &Stage, connections: i32) {
    let url = stage.cluster.database(ProcessName::Orders).unwrap();
    let role = url.split_once("://").unwrap().1.split_once(':').unwrap().0;
    let sql = format!("ALTER ROLE {role} CONNECTION LIMIT {connections}");
    let mut conn = PgConnection::connect(&stage.cluster.stack().postgres).await.unwrap();
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_by_the_few_connections_that_the_database_allows_and_few_are_told_to_come_back()
 {
    let mut stage = stage::open().await;
    stage.cluster.end(ProcessName::Orders, Signal::SIGTERM).await.unwrap();
    allow(&stage, ALLOWED).await;
    stage.cluster.restart(ProcessName::Orders).await.unwrap();
    let (busy, stage_orders) = (Cell::new(0), &stage.orders);
    let order = async |n: usize| {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        let order = loop {
            match stage_orders.place(&format!("few-{n}"), &wish).await.unwrap() {
                PlaceAnswer::Accepted(order) => break order,
                PlaceAnswer::Busy(_) => busy.update(|n| n + 1),
                PlaceAnswer::Refused(status, problem) => panic!("order {n}: {status} {problem}"),
            }
        };
        while let Err(error) = stage_orders.get(order.id).await {
            assert!(format!("{error:#}").contains("503"), "order {n} is not shown: {error:#}");
            busy.update(|n| n + 1);
        }
        assert!(
            busy.get() <= BUSY_MAX,
            "customers are told to come back though connections are free"
        );
    };
    stream::iter(0..CROWD).map(order).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let named = "the database allows no more connections";
    let log = std::fs::read_to_string(stage.cluster.log_file(ProcessName::Orders)).unwrap();
    assert!(
        log.lines().any(|line| line.contains(named) && line.contains("53300")),
        "it came to no limit"
    );
    // The audit comes under the same role.
    allow(&stage, -1).await;
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders.values().sum::<i64>(), i64::try_from(CROWD).unwrap());
}
