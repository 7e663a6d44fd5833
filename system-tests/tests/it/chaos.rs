//! Many failures in one run: a gateway with faults, a broker that is down, `kill -9` of each
//! process. The small form of `xtask chaos`.

use devstack::{ServerSource, ServerStack, SilentProgress, WantedParts};
use sagactl::screen::ProgressBoard;
use xtask::{
    chaos::{self, ChaosOptions},
    cluster::AuditExpectation,
};

use crate::stage;

/// Enough for all six blows to strike in the middle of work.
const ORDERS: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_well_while_everything_goes_wrong() {
    let stack =
        ServerStack::start(ServerSource::Native, WantedParts::all().forgetful(), &SilentProgress)
            .await
            .unwrap();
    let mut stage = stage::open_on(&stack, &[]).await;
    let options = ChaosOptions {
        orders: ORDERS,
        clients: 16,
        products: 20,
        outage_seconds: 5,
        fault_percent: 20,
        limit_seconds: 600,
    };
    let board = ProgressBoard::new();
    let report = chaos::drive(&mut stage.cluster, &stack, &options, &board).await.unwrap();
    assert_eq!(report.doubled(), 0);
    assert!(report.attempts() > ORDERS, "the gateway was broken, so calls were repeated");
    let audit = stage.close(AuditExpectation::default()).await;
    assert_eq!(audit.orders.values().sum::<i64>(), i64::try_from(ORDERS).unwrap());
    stack.stop().await;
}
