//! Answers that no gateway should give: what cannot be understood may have happened.

use serde_json::json;
use shared::jobs::{Claimed, Effect as _, Failure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::kit::Payments;

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

async fn outcome(answer: Vec<u8>) -> Failure {
    let payments = Payments::start().await;
    let (url, serve) = answering(answer).await;
    let job = Claimed {
        key: "order-1".to_owned(),
        payload: json!({ "amount_minor": 1, "currency": "EUR", "method": "tok_visa" }),
        attempt: 1,
        in_doubt: false,
        trace: None,
    };
    let charge_job = payments.charge_job(&url);
    let (outcome, ()) = tokio::join!(charge_job.perform(&job), serve);
    outcome.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_leaves_the_charge_in_doubt() {
    let too_large =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", " ".repeat(70_000));
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
        assert!(matches!(failure, Failure::Unknown { .. }), "{answer:.40}: {failure:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_leaves_no_doubt() {
    let payments = Payments::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let job = Claimed {
        key: "order-1".to_owned(),
        payload: json!({ "amount_minor": 1, "currency": "EUR", "method": "tok_visa" }),
        attempt: 1,
        in_doubt: false,
        trace: None,
    };
    let failure = payments.charge_job(&format!("http://{free}")).perform(&job).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused { retry_after: None, .. }), "{failure:?}");
}
