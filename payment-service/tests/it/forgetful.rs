//! A gateway that forgets its keys: no call is made under an old one, and nobody is charged twice.

use payment_service::domain::payment::PaymentCommand;
use serde_json::json;
use shared::clock::Clock;
use time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use uuid::Uuid;

use crate::{
    kit::{Payments, TOTAL_MINOR},
    review::{decide, reviews},
    simulator::Simulator,
};

/// Payments that live by a clock of the test, and a gateway.
struct Shop {
    payments: Payments,
    gateway: Simulator,
    clock: Clock,
}

impl Shop {
    async fn open() -> Self {
        let clock = Clock::fixed(Clock::System.now());
        let payments = Payments::start_by(clock.clone()).await;
        Self { payments, gateway: Simulator::start().await, clock }
    }

    /// An order whose charge met this fault once, and is in doubt.
    async fn in_doubt(&self, fault: &str) -> Uuid {
        let order_id = self.payments.charging("tok_visa").await;
        self.gateway.faults(&json!({ fault: 1.0 })).await;
        assert_eq!(self.payments.charges(&self.gateway.url).step().await.unwrap().again, 1);
        order_id
    }

    /// As above, but given up: the resolve job handles the charge.
    async fn unresolved(&self, fault: &str) -> Uuid {
        let order_id = self.in_doubt(fault).await;
        let mut charges = self.payments.charges(&self.gateway.url);
        for _attempt in 0..2 {
            self.payments.make_due().await;
            charges.step().await.unwrap();
        }
        assert_eq!(self.payments.stage(order_id).await, "unresolved");
        self.payments.process_batch(&[self.payments.others.cancelled(order_id)]).await;
        order_id
    }

    /// The gateway is away for a day, and comes back without its keys.
    async fn a_day_passes(&self) {
        self.clock.advance(Duration::hours(25));
        self.gateway.forget_keys().await;
        self.gateway.heal().await;
        self.payments.make_due().await;
    }

    async fn resolve(&self) -> shared::jobs::WorkerStep {
        self.payments.make_due().await;
        self.payments.resolves(&self.gateway.url).step().await.unwrap()
    }

    async fn refund(&self) {
        self.payments.refunds(&self.gateway.url).step().await.unwrap();
    }

    async fn topics(&self, order_id: Uuid) -> Vec<String> {
        self.payments.said(order_id).await.into_iter().map(|(topic, _)| topic).collect()
    }

    async fn review(&self, order_id: Uuid) -> Option<String> {
        sqlx::query_scalar("SELECT review FROM payments WHERE order_id = $1")
            .bind(order_id)
            .fetch_one(&self.payments.pool)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_charge_in_doubt_whose_key_is_forgotten_is_found_by_its_order_and_given_back() {
    let shop = Shop::open().await;
    let order_id = shop.unresolved("drop_after_rate").await;
    let before = shop.gateway.counts().await;
    assert_eq!((before.charges, before.net_minor), (1, TOTAL_MINOR));
    shop.a_day_passes().await;
    assert_eq!(shop.resolve().await.done, 1);
    assert_eq!(shop.payments.stage(order_id).await, "refunding");
    shop.refund().await;
    assert_eq!(shop.payments.stage(order_id).await, "refunded");
    assert_eq!(shop.topics(order_id).await, ["payment-failed", "payment-refunded"]);
    let counts = shop.gateway.counts().await;
    assert_eq!((counts.charges, counts.refunds, counts.net_minor), (1, 1, 0));
    assert_eq!(counts.attempts, before.attempts + 1, "the refund is the only call since");
}

#[tokio::test]
async fn a_charge_that_the_job_itself_finds_in_doubt_after_a_day_is_a_payment() {
    let shop = Shop::open().await;
    let order_id = shop.in_doubt("drop_after_rate").await;
    let before = shop.gateway.counts().await;
    shop.a_day_passes().await;
    assert_eq!(shop.payments.charges(&shop.gateway.url).step().await.unwrap().done, 1);
    assert_eq!(shop.payments.stage(order_id).await, "done");
    assert_eq!(shop.topics(order_id).await, ["payment-done"]);
    assert_eq!(shop.gateway.counts().await, before, "no further call, one charge");
}

#[tokio::test]
async fn the_resolve_job_is_told_since_when_the_key_of_the_charge_may_have_been_used() {
    let shop = Shop::open().await;
    let order_id = shop.in_doubt("drop_after_rate").await;
    shop.clock.advance(Duration::hours(1));
    let mut charges = shop.payments.charges(&shop.gateway.url);
    for _attempt in 0..2 {
        shop.payments.make_due().await;
        charges.step().await.unwrap();
    }
    assert_eq!(shop.payments.stage(order_id).await, "unresolved");
    let since: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT kind, payload ->> 'key_since' FROM messaging.job ORDER BY kind")
            .fetch_all(&shop.payments.pool)
            .await
            .unwrap();
    let [(charge, asked), (resolve, told)] = &since[..] else { panic!("{since:?}") };
    assert_eq!((charge.as_str(), resolve.as_str()), ("charge", "resolve"));
    assert!(asked.is_some());
    assert_eq!(told, asked);
}

#[tokio::test]
async fn a_charge_in_doubt_that_never_arrived_waits_for_a_person_who_ends_it() {
    let shop = Shop::open().await;
    let order_id = shop.unresolved("drop_before_rate").await;
    let before = shop.gateway.counts().await;
    shop.clock.advance(Duration::minutes(23 * 60 + 30));
    shop.gateway.forget_keys().await;
    shop.gateway.heal().await;
    assert_eq!(shop.resolve().await.again, 1, "a list may lag");
    assert_eq!(shop.payments.stage(order_id).await, "unresolved");
    shop.clock.advance(Duration::hours(1));
    assert_eq!(shop.resolve().await.done, 1);
    assert_eq!(shop.payments.stage(order_id).await, "needs-review");
    assert_eq!(shop.review(order_id).await.as_deref(), Some("charge-in-doubt"));

    decide(&shop.payments, order_id, PaymentCommand::Refund).await.unwrap();
    assert_eq!(shop.payments.stage(order_id).await, "unresolved", "it is looked for again");
    assert_eq!(shop.resolve().await.done, 1);
    assert_eq!(shop.payments.stage(order_id).await, "needs-review");
    decide(&shop.payments, order_id, PaymentCommand::Settle).await.unwrap();
    assert_eq!(shop.payments.stage(order_id).await, "failed");
    let told = ["payment-failed", "payment-under-review", "payment-under-review"];
    assert_eq!(shop.topics(order_id).await, told, "once each time that it waits");
    let why = "charge: charge-in-doubt";
    assert_eq!(reviews(&shop.payments, order_id).await, [why, why]);
    assert!(shop.payments.jobs().await.iter().all(|(kind, ..)| kind == "charge"));
    assert_eq!(shop.gateway.counts().await, before, "no call was made under the old key");
}

#[tokio::test]
async fn a_charge_that_had_no_effect_for_a_day_is_not_made_any_more() {
    let shop = Shop::open().await;
    let order_id = shop.payments.charging("tok_visa").await;
    shop.a_day_passes().await;
    assert_eq!(shop.payments.charges(&shop.gateway.url).step().await.unwrap().gave_up, 1);
    assert_eq!(shop.payments.stage(order_id).await, "failed");
    assert_eq!(shop.topics(order_id).await, ["payment-failed"]);
    assert_eq!(shop.gateway.counts().await.attempts, 0);
}

#[tokio::test]
async fn a_refund_whose_key_is_forgotten_is_made_once() {
    let shop = Shop::open().await;
    let order_id = shop.payments.charging("tok_visa").await;
    shop.payments.charges(&shop.gateway.url).step().await.unwrap();
    shop.payments.process_batch(&[shop.payments.others.cancelled(order_id)]).await;
    shop.gateway.faults(&json!({ "drop_after_rate": 1.0 })).await;
    let mut refunds = shop.payments.refunds(&shop.gateway.url);
    assert_eq!(refunds.step().await.unwrap().again, 1);
    shop.a_day_passes().await;
    assert_eq!(refunds.step().await.unwrap().done, 1);
    assert_eq!(shop.payments.stage(order_id).await, "refunded");
    let counts = shop.gateway.counts().await;
    assert_eq!((counts.refunds, counts.net_minor), (1, 0));
}

/// Answers every request with the same.
async fn answering(answer: &'static str) -> (String, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut request).await.unwrap() > 0
            {}
            let head = String::from_utf8(request).unwrap();
            assert!(head.starts_with("GET /v1/charges?order_id="), "{head}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    (url, serve)
}

#[tokio::test]
async fn a_doubt_that_no_list_can_settle_waits_for_a_person() {
    for answer in [
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
    ] {
        let shop = Shop::open().await;
        let order_id = shop.unresolved("drop_after_rate").await;
        shop.a_day_passes().await;
        let (url, serve) = answering(answer).await;
        let mut resolves = shop.payments.resolves(&url);
        let step = tokio::select! {
            step = resolves.step() => step.unwrap(),
            () = serve => unreachable!("it serves for ever"),
        };
        assert_eq!(step.done, 1, "{answer}");
        assert_eq!(shop.review(order_id).await.as_deref(), Some("charge-in-doubt"), "{answer}");
    }
}
