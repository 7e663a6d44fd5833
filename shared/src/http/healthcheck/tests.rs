use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    health::ProcessHealth,
    http::{AdminRoutes, HttpSettings, bind, serve},
    telemetry::{self, ProcessMetrics},
};

/// `ExitCode` cannot be compared.
fn said(code: ExitCode) -> String {
    format!("{code:?}")
}

fn success() -> String {
    said(ExitCode::SUCCESS)
}

async fn asked(address: SocketAddr) -> String {
    said(tokio::task::spawn_blocking(move || ask_readiness(address)).await.unwrap())
}

/// Asks until the answer is yes: a question has a limit, and a machine may stand still for as long.
async fn until_ready(address: SocketAddr) {
    devstack::until("it is ready", async || asked(address).await == success()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_when_all_its_parts_are() {
    let health = ProcessHealth::default();
    let part = health.component("database");
    let listener = bind("admin", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let mut address = listener.local_addr().unwrap();
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let admin =
        AdminRoutes::new("shop", ProcessMetrics::of(health), metrics, HttpSettings::default());
    let routes = admin.router();
    let stop = CancellationToken::new();
    let serving = serve(listener, routes, HttpSettings::default(), stop.clone());
    let asking = async {
        assert_ne!(asked(address).await, success());
        part.ready();
        until_ready(address).await;
        // A container listens at every address.
        address.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        until_ready(address).await;
        part.not_ready("gone");
        assert_ne!(asked(address).await, success());
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serving, asking);
    served.unwrap();
}

#[tokio::test]
async fn who_is_not_there_is_not_ready() {
    // Nobody but root may listen there, and nobody does.
    assert_ne!(asked(SocketAddr::from(([127, 0, 0, 1], 1))).await, success());
}

#[test]
fn only_a_success_counts() {
    assert!(is_success("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!is_success("HTTP/1.1 503 Service Unavailable\r\n\r\n 200"));
    assert!(!is_success(""));
}
