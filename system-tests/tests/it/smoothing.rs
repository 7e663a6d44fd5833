//! While the broker is down, accepted orders wait in Postgres, and admission limits their number.

use devstack::{ServerSource, ServerStack, SilentProgress, StopMode, TestWait, WantedParts};
use reqwest::header;
use sagactl::http_client::http_client;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use xtask::{
    client::PlaceAnswer,
    cluster::{AuditExpectation, ProcessName},
    load::open_work,
};

use crate::stage::{self, Stage, until};

/// Limit on waiting messages.
const MESSAGES_MAX: i64 = 40;

/// Messages in order-service's outbox.
async fn waiting(stage: &Stage) -> i64 {
    let url = stage.cluster.database(ProcessName::Orders).unwrap();
    let mut conn = PgConnection::connect(url).await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM messaging.outbox");
    query.fetch_one(&mut conn).await.unwrap()
}

/// Whether admission is shut because too much waits in the outbox. A stalled machine may also
/// cause refusals.
async fn is_closed(stage: &Stage) -> bool {
    stage.numbers(ProcessName::Orders).await.contains("admission_open 0")
}

/// Places orders until one is refused; says how many were not.
async fn place_until_refused(stage: &Stage) -> i64 {
    let wish = stage::wish("load-0001", "tok_visa");
    let mut patience = TestWait::until("an order is refused");
    let mut accepted = 0;
    loop {
        match stage.orders.place(&format!("waits-{accepted}"), &wish).await {
            Ok(PlaceAnswer::Accepted(_)) => accepted += 1,
            Ok(PlaceAnswer::Busy(_)) if is_closed(stage).await => return accepted,
            Ok(PlaceAnswer::Busy(_)) => patience.look_again(accepted).await,
            Ok(PlaceAnswer::Refused(status, _)) => {
                assert_eq!(status, 409, "its own earlier attempt is on its way");
                patience.look_again(accepted).await;
            }
            Err(error) => patience.look_again(format!("{accepted}: {error:#}")).await,
        }
        assert!(accepted < 1_000 * MESSAGES_MAX, "nothing is refused");
    }
}

/// What a refusal looks like.
async fn assert_refused(stage: &Stage) {
    let http = http_client().unwrap();
    let url = format!("{}/orders", stage.cluster.url(ProcessName::Orders));
    let body = json!({
        "lines": [{ "sku": "load-0001", "quantity": 1 }], "currency": "EUR",
        "payment_method": "tok_visa", "customer": { "email": "ada@example.org" },
    });
    let mut patience = TestWait::until("an order is refused because too much waits");
    let wait = loop {
        let post = http.post(&url).header("Idempotency-Key", "refused").json(&body);
        let response = post.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        let wait: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        let problem: Value = response.json().await.unwrap();
        if problem["type"] == "/problems/overloaded" {
            break wait;
        }
        // The machine stood still in the middle of it.
        patience.look_again(problem["type"].to_string()).await;
    };
    assert!((1..=5).contains(&wait), "{wait}");
    assert!(is_closed(stage).await);
    let admin = stage.cluster.admin(ProcessName::Orders);
    let report = http.get(format!("{admin}/readyz?verbose")).send().await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert!(report["parts"]["admission"].as_str().unwrap().contains("is refused"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_orders_wait_in_postgres_up_to_a_limit_and_all_end_when_it_is_back() {
    let parts = WantedParts::all().forgetful();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let limit = MESSAGES_MAX.to_string();
    let settings = [
        ("ADMISSION_BACKLOG_MAX", limit.as_str()),
        ("ADMISSION_LOOK", "20ms"),
        // The number of waiting messages shuts admission here, not their age.
        ("ADMISSION_AGE_MAX", "1h"),
    ];
    let stage = stage::open_on(&stack, &settings).await;
    until("what the services said at their start is published", async || {
        waiting(&stage).await == 0
    })
    .await;
    stack.stop_kafka(StopMode::Kill).await.unwrap();

    let told = place_until_refused(&stage).await;
    let accepted = i64::try_from(open_work::accepted(&stage.cluster).await.unwrap()).unwrap();
    assert!(told > MESSAGES_MAX, "{told}");
    assert!((told..=told + 1).contains(&accepted), "{accepted}: one more if its answer was lost");
    assert_eq!(waiting(&stage).await, accepted, "each accepted order waits in Postgres");
    assert_refused(&stage).await;
    assert_eq!(waiting(&stage).await, accepted, "and no other");

    stack.start_kafka().await.unwrap();
    until("orders are accepted again", async || {
        let wish = stage::wish("load-0001", "tok_visa");
        matches!(stage.orders.place("afterwards", &wish).await, Ok(PlaceAnswer::Accepted(_)))
    })
    .await;
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders["confirmed"], accepted + 1);
    stack.stop().await;
}
