//! Signals end the gateway well.

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::simulator::{Simulator, charge};

/// A call whose body never comes. The gateway asks for it, so the call is known to be waited for.
async fn half_a_call(gateway: &Simulator) -> TcpStream {
    let mut stream = gateway.connect().await;
    let head =
        "POST /charges HTTP/1.1\r\nhost: g\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 12];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    stream
}

#[tokio::test]
async fn a_signal_ends_the_gateway_well_with_clients_still_connected() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut gateway = Simulator::start().await;
        gateway.switch(&json!({ "slow_ms": 600_000 })).await;
        let _idle = gateway.connect().await;
        let _busy = gateway.send_charge("slow", &charge("tok_slow", "order-1")).await;
        gateway.until_in_progress(1).await;
        let _half = half_a_call(&gateway).await;
        gateway.charge("k", &charge("tok_visa", "order-2")).await;
        gateway.signal(signal);
        assert_eq!(gateway.exit().await.code(), Some(0));
        assert_eq!(gateway.charges_in_log(), 1);
    }
}
