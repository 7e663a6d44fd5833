//! Signals end the gateway well.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::simulator::{Simulator, charge};

#[tokio::test]
async fn a_signal_ends_the_gateway_well_whoever_is_still_connected() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut gateway = Simulator::start().await;
        gateway.switch(&json!({ "slow_ms": 600_000 })).await;
        let _idle = gateway.connect().await;
        let _busy = gateway.send_charge("slow", &charge("tok_slow", "order-1")).await;
        gateway.until_in_progress(1).await;
        gateway.charge("k", &charge("tok_visa", "order-2")).await;
        gateway.signal(signal);
        assert_eq!(gateway.exit().await.code(), Some(0));
        assert_eq!(gateway.charges_in_log(), 1);
    }
}
