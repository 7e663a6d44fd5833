//! `kill -9` of each service in the middle of a crowd: no manual step, every promise kept.

use nix::sys::signal::Signal;
use sagactl::{
    audit::Expected,
    client::{Answer, Orders},
    fleet::Member,
    load::report,
};
use tokio::time::Instant;

use crate::stage::{self, PATIENCE, Stage, wish};

const CROWD: u64 = 2_000;

/// Places so many orders, a few at once, each again under its key until it is accepted.
pub(crate) async fn place_crowd(orders: &Orders, name: &str, crowd: u64) {
    let place = async |n: u64| {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match orders.place(&format!("{name}-{n}"), &wish).await {
                Ok(Answer::Accepted(_)) => return,
                // What is needed is away: the outcome is open, and the key settles it.
                Ok(Answer::Busy(_)) | Err(_) => tokio::task::yield_now().await,
                Ok(Answer::Refused(status, problem)) => {
                    // Its own earlier attempt may still be on its way.
                    assert_eq!(status.as_u16(), 409, "{problem}");
                }
            }
            assert!(Instant::now() < deadline, "order {n} is never accepted");
        }
    };
    for first in (0..crowd).step_by(16) {
        futures_util::future::join_all((first..crowd.min(first + 16)).map(&place)).await;
    }
}

/// Kills the member once some of the crowd has been accepted, and starts it again.
async fn kill_in_the_middle(stage: &mut Stage, member: Member) {
    let orders = stage.orders.clone();
    let placing = place_crowd(&orders, member.program(), CROWD);
    let fleet = &mut stage.fleet;
    let killing = async {
        let deadline = Instant::now() + PATIENCE;
        while report::accepted(fleet).await.unwrap() < CROWD / 4 {
            assert!(Instant::now() < deadline, "nothing is accepted");
        }
        assert_eq!(fleet.end(member, Signal::SIGKILL).await.unwrap(), None);
        fleet.restart(member).await.unwrap();
    };
    tokio::join!(placing, killing);
}

async fn survives(member: Member) {
    let mut stage = stage::open().await;
    kill_in_the_middle(&mut stage, member).await;
    let report = stage.close(Expected::default()).await;
    let crowd = i64::try_from(CROWD).unwrap();
    assert_eq!(report.orders.get("confirmed"), Some(&crowd), "{:?}", report.orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_service_is_killed_and_nothing_is_lost_or_doubled() {
    survives(Member::Orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_service_is_killed_and_nothing_is_lost_or_doubled() {
    survives(Member::Inventory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_service_is_killed_and_nobody_is_charged_twice() {
    survives(Member::Payments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_service_is_killed_and_everybody_is_told() {
    survives(Member::Notify).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_killed_and_nobody_is_charged_twice() {
    survives(Member::Gateway).await;
}
