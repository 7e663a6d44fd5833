//! The health check of a container.

use tokio::process::Command;

use crate::simulator::{Simulator, until};

/// Whether a process of its own that asks a gateway at this address ends well.
async fn is_alive(gateway: &Simulator, address: &str) -> bool {
    let mut question = Command::new(env!("CARGO_BIN_EXE_gateway-simulator"));
    question.args(["--listen", address, "--health", "--log"]).arg(gateway.log());
    question.kill_on_drop(true).output().await.unwrap().status.success()
}

/// Waits until it does: a question has a limit, and a machine may stand still for as long.
async fn until_alive(gateway: &Simulator, address: &str) {
    until("a gateway that is alive", async || is_alive(gateway, address).await.then_some(())).await;
}

#[tokio::test]
async fn a_gateway_is_alive_until_it_has_ended() {
    let mut gateway = Simulator::start().await;
    let address = gateway.address();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    until_alive(&gateway, &address).await;
    // A container listens at every address.
    until_alive(&gateway, &format!("0.0.0.0:{port}")).await;
    gateway.crash().await;
    // At once, unless a gateway of another test was given the same port meanwhile.
    until("nobody answers", async || (!is_alive(&gateway, &address).await).then_some(())).await;
}
