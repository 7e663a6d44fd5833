//! Three brokers, three replicas, confirmed by two: with one broker lost, no message is lost; with
//! two brokers lost, no message is confirmed, and accepted orders wait.

use devstack::{ServerStack, StopMode, WantedParts};
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    load::open_work,
};

use crate::stage::{self, Stage, place_crowd, until};

const CROWD: u64 = 300;
const WAITING: u64 = 20;

/// A broker is killed in the middle of the crowd, and comes back when all orders have ended.
async fn lose_one(stage: &Stage, stack: &ServerStack) {
    let killing = async {
        until("a third is accepted", async || {
            open_work::accepted(&stage.cluster).await.unwrap() > CROWD / 3
        })
        .await;
        stack.stop_broker(0, StopMode::Kill).await.unwrap();
    };
    let (unanswered, ()) = tokio::join!(place_crowd(&stage.orders, "brokers", CROWD), killing);
    assert_eq!(unanswered, 0, "who places an order does not feel it");
    stage.all_end().await;
    stack.start_broker(0).await.unwrap();
}

/// Two brokers are killed: orders are accepted, and wait in the database until brokers return.
async fn lose_two(stage: &mut Stage, stack: &ServerStack) {
    for n in [1, 2] {
        stack.stop_broker(n, StopMode::Kill).await.unwrap();
    }
    let mut placed = Vec::new();
    for _ in 0..WAITING {
        placed.push(stage.place("load-0001", "tok_visa").await.id);
    }
    until("the relay says that nothing is confirmed", async || {
        let health = stage.cluster.health(ProcessName::Orders).await.unwrap();
        health.is_some_and(|(ready, report)| !ready && report.contains("the log does not confirm"))
    })
    .await;
    for id in placed {
        assert_eq!(stage.status(id).await, "pending");
    }
    assert_eq!(open_work::open(&stage.cluster).await.unwrap().orders, WAITING);
    for n in [1, 2] {
        stack.start_broker(n).await.unwrap();
    }
    stage.all_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_three_is_killed_under_load_and_nothing_is_lost_and_with_two_all_waits() {
    let parts = WantedParts::all().forgetful().three_brokers();
    let (stack, mut stage) = stage::open_with(parts, &[("KAFKA_REPLICATION", "3")]).await;
    lose_one(&stage, &stack).await;
    lose_two(&mut stage, &stack).await;
    let report = stage.close(AuditExpectation::default()).await;
    let all = i64::try_from(CROWD + WAITING).unwrap();
    assert_eq!(report.orders.get("confirmed"), Some(&all), "{:?}", report.orders);
    stack.stop().await;
}
