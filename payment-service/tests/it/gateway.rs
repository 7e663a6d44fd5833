//! Invalid answers of a gateway: the outcome of such a call stays open.

use payment_service::jobs::ResolveJob;
use serde_json::json;
use shared::{
    clock::Clock,
    jobs::{AttemptFailure, ClaimedJob, JobHandler as _},
};
use time::format_description::well_known::Rfc3339;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    kit::{Payments, gateway},
    simulator::Simulator,
};

/// Takes one connection, reads what comes and answers with these bytes.
async fn answering(answer: Vec<u8>) -> (String, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // The body is the last that comes, and ends like this.
        while !request.ends_with(b"}}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("POST /v1/charges HTTP/1.1"), "{request}");
        assert!(request.contains("idempotency-key: order-1:charge"), "{request}");
        // The other side may hang up before it has all.
        drop(stream.write_all(&answer).await);
        drop(stream.shutdown().await);
    };
    (url, serve)
}

fn job(key: &str) -> ClaimedJob {
    ClaimedJob {
        key: key.to_owned(),
        payload: json!({ "amount_minor": 1, "currency": "EUR", "method": "tok_visa",
            "key_since": Clock::System.now().format(&Rfc3339).unwrap() }),
        attempt: 1,
        in_doubt: false,
        trace: None,
    }
}

async fn outcome(answer: Vec<u8>) -> AttemptFailure {
    let payments = Payments::start().await;
    let (url, serve) = answering(answer).await;
    let job = job("order-1");
    let charge_job = payments.charge_job(&url);
    let (outcome, ()) = tokio::join!(charge_job.perform(&job), serve);
    outcome.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_leaves_the_charge_in_doubt() {
    // A charge that could be understood, if anybody read that far.
    let charge = r#"{"id":"ch_1","amount":1,"currency":"EUR","status":"succeeded"}"#;
    let padding = " ".repeat(70_000 - charge.len());
    let too_large = format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{charge}{padding}");
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        too_large.as_str(),
    ] {
        let failure = outcome(answer.as_bytes().to_vec()).await;
        assert!(matches!(failure, AttemptFailure::InDoubt { .. }), "{answer:.40}: {failure:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_leaves_no_doubt() {
    let payments = Payments::start().await;
    let ports = devstack::PortPair::claim();
    let nobody = format!("http://127.0.0.1:{}", ports.numbers[0]);
    let job = job("order-1");
    let failure = payments.charge_job(&nobody).perform(&job).await.unwrap_err();
    assert!(matches!(failure, AttemptFailure::NoEffect { retry_after: None, .. }), "{failure:?}");
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_settles_no_charge_in_doubt() {
    let (payments, simulator) = (Payments::start().await, Simulator::start().await);
    assert_eq!(simulator.charge("order-1:charge", 2).await, 200);
    let resolve_job = ResolveJob::new(payments.app.clone(), gateway(&simulator.url));
    let failure = resolve_job.perform(&job("order-1")).await.unwrap_err();
    assert!(matches!(failure, AttemptFailure::InDoubt { .. }), "{failure:?}");
}
