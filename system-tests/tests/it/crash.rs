//! `kill -9` of each service while many orders run: no manual step, every invariant holds.

use devstack::TestWait;
use nix::sys::signal::Signal;
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    load::open_work,
};

use crate::stage::{self, Stage};

/// Enough orders for many batches, so that a service is killed in the middle of a batch.
const CROWD: u64 = 600;

/// Kills the member once some of the crowd has been accepted, and starts it again.
async fn kill_in_the_middle(stage: &mut Stage, member: ProcessName) {
    let orders = stage.orders.clone();
    let placing = stage::place_crowd(&orders, member.program(), CROWD);
    let cluster = &mut stage.cluster;
    let killing = async {
        let mut patience = TestWait::until("a quarter of the crowd is accepted");
        loop {
            let accepted = open_work::accepted(cluster).await.unwrap();
            if accepted >= CROWD / 4 {
                break;
            }
            patience.look_again(accepted).await;
        }
        assert_eq!(cluster.end(member, Signal::SIGKILL).await.unwrap(), None);
        cluster.restart(member).await.unwrap();
    };
    tokio::join!(placing, killing);
}

async fn survives(member: ProcessName) {
    let mut stage = stage::open().await;
    kill_in_the_middle(&mut stage, member).await;
    let report = stage.close(AuditExpectation::default()).await;
    let crowd = i64::try_from(CROWD).unwrap();
    assert_eq!(report.orders.get("confirmed"), Some(&crowd), "{:?}", report.orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_service_is_killed_and_nothing_is_lost_or_doubled() {
    survives(ProcessName::Orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_service_is_killed_and_nothing_is_lost_or_doubled() {
    survives(ProcessName::Inventory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_service_is_killed_and_nobody_is_charged_twice() {
    survives(ProcessName::Payments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_service_is_killed_and_everybody_is_told() {
    survives(ProcessName::Notify).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_killed_and_nobody_is_charged_twice() {
    survives(ProcessName::Gateway).await;
}
