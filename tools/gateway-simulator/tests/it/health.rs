//! The health check of a container, and what a visitor finds first.

use tokio::process::Command;

use crate::simulator::{Simulator, client, until};

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

#[tokio::test]
async fn a_visitor_is_told_what_there_is_and_which_methods_are_taken() {
    let gateway = Simulator::start().await;
    let http = client();
    let ask = async |method: reqwest::Method, path: &str| {
        let url = format!("http://{}{path}", gateway.address());
        let answer = http.request(method, url).send().await.unwrap();
        let allow = answer.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body: serde_json::Value =
            serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        (status, allow, body)
    };
    let (status, _, index) = ask(reqwest::Method::GET, "/").await;
    assert_eq!(status, 200);
    for name in index["links"].as_object().unwrap().keys() {
        let path = name.split(' ').nth(1).unwrap();
        if name.starts_with("GET ") && !path.contains('{') {
            assert_eq!(ask(reqwest::Method::GET, path).await.0, 200, "{name}");
        }
    }
    let methods = Some("GET,HEAD,POST".to_owned());
    let (status, allow, _) = ask(reqwest::Method::OPTIONS, "/charges").await;
    assert_eq!((status, &allow), (204, &methods));
    let (status, allow, body) = ask(reqwest::Method::DELETE, "/charges").await;
    assert_eq!((status, &allow), (405, &methods));
    assert_eq!(body["error"]["code"], "method_not_allowed");
    assert_eq!(ask(reqwest::Method::OPTIONS, "/nowhere").await.0, 404);
}
