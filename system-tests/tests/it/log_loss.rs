//! Kafka loses all its data, and Postgres keeps its own: with the services stopped, as by `docker compose
//! down` and a volume that is removed, and while they run. Orders in flight end, nothing is doubled.

use std::collections::BTreeMap;

use devstack::{ServerStack, StopMode, WantedParts};
use nix::sys::signal::Signal;
use sagactl::http_client::http_client;
use serde::Deserialize;
use xtask::{
    cluster::{AuditExpectation, ProcessName},
    load::open_work,
};

use crate::stage::{self, Stage, place_crowd, until};

const CROWD: u64 = 200;

/// Waits until a part of the crowd is in flight.
async fn some_are_in_flight(stage: &Stage) {
    until("a third of the crowd is accepted", async || {
        open_work::accepted(&stage.cluster).await.unwrap() >= CROWD / 3
    })
    .await;
}

async fn lose_everything(stack: &ServerStack) {
    stack.stop_kafka(StopMode::Kill).await.unwrap();
    stack.forget_kafka().await.unwrap();
    stack.start_kafka().await.unwrap();
}

/// Topics that lost messages, as the services have recorded it, and how many are not finished.
async fn losses(stage: &Stage) -> (i64, i64) {
    let (mut found, mut open) = (0, 0);
    for member in ProcessName::SERVICES {
        let pool = sqlx::PgPool::connect(stage.cluster.database(member).unwrap()).await.unwrap();
        let (all, unfinished): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL) FROM messaging.log_loss",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        pool.close().await;
        (found, open) = (found + all, open + unfinished);
    }
    (found, open)
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Mail>,
    total: usize,
}

#[derive(Deserialize)]
struct Mail {
    #[serde(rename = "MessageID")]
    message_id: String,
}

/// How often each mail was sent, by its Message-ID.
async fn mails(stage: &Stage) -> BTreeMap<String, usize> {
    let mut mails = BTreeMap::new();
    let http = http_client().unwrap();
    loop {
        let (api, start) = (&stage.cluster.stack().mail_api, mails.values().sum::<usize>());
        let url = format!("{api}/api/v1/messages?limit=500&start={start}");
        let page: Page = stage::answered(http.get(url)).await.json().await.unwrap();
        for mail in &page.messages {
            *mails.entry(mail.message_id.clone()).or_default() += 1;
        }
        if mails.values().sum::<usize>() >= page.total {
            return mails;
        }
    }
}

/// All orders end confirmed, the promises are kept, and each customer has one mail.
async fn all_is_well(stage: Stage) {
    place_crowd(&stage.orders, "after", 20).await;
    stage.all_end().await;
    until("what was lost is published again", async || {
        let (found, open) = losses(&stage).await;
        found > 0 && open == 0
    })
    .await;
    stage.all_end().await;
    let mails = mails(&stage).await;
    assert_eq!(mails.len() as u64, CROWD + 20, "one for each order");
    assert!(mails.values().all(|n| *n == 1), "{mails:?}");
    let report = stage.close(AuditExpectation::default()).await;
    let all = i64::try_from(CROWD + 20).unwrap();
    assert_eq!(report.orders.get("confirmed"), Some(&all), "{:?}", report.orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_comes_back_empty_while_the_services_are_stopped_and_nothing_is_lost_or_doubled() {
    let (stack, mut stage) = stage::open_with(WantedParts::all().forgetful(), &[]).await;
    let orders = stage.orders.clone();
    let placing = place_crowd(&orders, "before", CROWD);
    let losing = async {
        some_are_in_flight(&stage).await;
        for member in ProcessName::SERVICES {
            stage.cluster.end(member, Signal::SIGTERM).await.unwrap();
        }
        lose_everything(&stack).await;
        for member in ProcessName::SERVICES {
            stage.cluster.restart(member).await.unwrap();
        }
    };
    tokio::join!(placing, losing);
    all_is_well(stage).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_comes_back_empty_while_the_services_run_and_nothing_is_lost_or_doubled() {
    let (stack, stage) = stage::open_with(WantedParts::all().forgetful(), &[]).await;
    let orders = stage.orders.clone();
    let placing = place_crowd(&orders, "before", CROWD);
    let losing = async {
        some_are_in_flight(&stage).await;
        // Each service makes its own topics anew.
        lose_everything(&stack).await;
    };
    tokio::join!(placing, losing);
    all_is_well(stage).await;
    stack.stop().await;
}
