//! The broker is away: what is accepted waits in Postgres, and no more is accepted than may wait.

use devstack::{Halt, Parts, Silent, Source, Stack};
use reqwest::header;
use sagactl::{audit::Expected, client::Answer, fleet::Member};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::stage::{self, PATIENCE, Stage, until};

/// Messages that may wait.
const MESSAGES_MAX: i64 = 40;

/// Messages in order-service's outbox.
async fn waiting(stage: &Stage) -> i64 {
    let url = stage.fleet.database(Member::Orders).unwrap();
    let mut conn = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM messaging.outbox");
    query.fetch_one(&mut conn).await.unwrap()
}

/// Places orders until one is refused; says how many were not.
async fn place_until_refused(stage: &Stage) -> i64 {
    let deadline = Instant::now() + PATIENCE;
    for accepted in 0.. {
        let wish = stage::wish("load-0001", "tok_visa");
        match stage.orders.place(&format!("waits-{accepted}"), &wish).await.unwrap() {
            Answer::Accepted(_) => assert!(Instant::now() < deadline, "nothing is refused"),
            Answer::Busy(_) => return accepted,
            Answer::Refused(status, problem) => panic!("{status} {problem}"),
        }
    }
    unreachable!("there are more numbers than orders")
}

/// What a refusal looks like.
async fn assert_refused(stage: &Stage) {
    let http = sagactl::client::http().unwrap();
    let url = format!("{}/orders", stage.fleet.url(Member::Orders));
    let body = json!({
        "lines": [{ "sku": "load-0001", "quantity": 1 }], "currency": "EUR",
        "payment_method": "tok_visa", "customer": { "email": "ada@example.org" },
    });
    let post = http.post(url).header("Idempotency-Key", "refused").json(&body);
    let response = post.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    let wait: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&wait), "{wait}");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/overloaded");
    let admin = stage.fleet.admin(Member::Orders);
    let metrics = http.get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("admission_open 0"), "{metrics}");
    let report = http.get(format!("{admin}/readyz?verbose")).send().await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert!(report["parts"]["admission"].as_str().unwrap().contains("is refused"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_orders_wait_in_postgres_up_to_a_limit_and_all_end_when_it_is_back() {
    let parts = Parts::all().forgetful();
    let stack = Stack::start(Source::Native, parts, &Silent).await.unwrap();
    let limit = MESSAGES_MAX.to_string();
    let settings = [("ADMISSION_BACKLOG_MAX", limit.as_str()), ("ADMISSION_LOOK", "20ms")];
    let stage = stage::open_on(&stack, &settings).await;
    until("what the services said at their start is published", async || {
        waiting(&stage).await == 0
    })
    .await;
    stack.stop_kafka(Halt::Kill).await.unwrap();

    let accepted = place_until_refused(&stage).await;
    assert!(accepted > MESSAGES_MAX, "{accepted}");
    assert_eq!(waiting(&stage).await, accepted, "each accepted order waits in Postgres");
    assert_refused(&stage).await;
    assert_eq!(waiting(&stage).await, accepted, "and no other");

    stack.start_kafka().await.unwrap();
    until("orders are accepted again", async || {
        let wish = stage::wish("load-0001", "tok_visa");
        matches!(stage.orders.place("afterwards", &wish).await.unwrap(), Answer::Accepted(_))
    })
    .await;
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], accepted + 1);
    stack.stop().await;
}
