//! A topic that refuses messages of a service does not block other topics.

use devstack::TestWait;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::{
    raw::{self, Raw},
    stage::{self, Stage, until},
};

const COPIES: &str = "order-service.dlq";

fn admin(stage: &Stage) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &stage.cluster.stack().brokers);
    (config.create().unwrap(), AdminOptions::new().request_timeout(Some(raw::ANSWER * 60)))
}

fn name(stage: &Stage, topic: &str) -> String {
    format!("{}{topic}", stage.cluster.prefix())
}

/// The topic takes records of 10 kB from now on.
async fn narrow(stage: &Stage, topic: &str) {
    let (admin, patient) = admin(stage);
    let topic = name(stage, topic);
    let narrow = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    let narrow = narrow.set("max.message.bytes", "10000");
    for altered in admin.alter_configs(&[narrow], &patient).await.unwrap() {
        altered.unwrap();
    }
    // The controller answers before the broker has heard of it.
    until("the broker takes small records only", async || {
        let asked = [ResourceSpecifier::Topic(&topic)];
        let told = admin.describe_configs(&asked, &patient).await.unwrap().remove(0).unwrap();
        let limit = told.entry_map()["max.message.bytes"].value.as_deref();
        limit == Some("10000")
    })
    .await;
}

async fn delete(stage: &Stage, topic: &str) {
    let (admin, patient) = admin(stage);
    for deleted in admin.delete_topics(&[&name(stage, topic)], &patient).await.unwrap() {
        deleted.unwrap();
    }
}

/// A message that order-service cannot read, and keeps.
async fn say_garbage(stage: &Stage, payload: Vec<u8>) {
    let topic = name(stage, "stock-released");
    let garbage =
        Raw { topic, key: Some(b"nobody".to_vec()), payload: Some(payload), ..Raw::default() };
    raw::say(&stage.cluster.stack().brokers, vec![garbage]).await;
}

/// Waits until the last copy on the dead-letter topic is this one's.
async fn copied(stage: &Stage, is_it: impl Fn(&Raw) -> bool) {
    let mut patience = TestWait::until("the copy stands on the dead-letter topic");
    loop {
        let found = raw::read(&stage.cluster.stack().brokers, &name(stage, COPIES)).await;
        if found.last().is_some_and(&is_it) {
            return;
        }
        patience.look_again(found.len()).await;
    }
}

async fn order_is_confirmed(stage: &Stage) {
    let order = stage.place("load-0001", "tok_visa").await;
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed");
}

#[tokio::test]
async fn a_dead_letter_topic_that_takes_little_or_is_deleted_stops_no_order() {
    let stage = stage::open().await;
    narrow(&stage, COPIES).await;
    let random = std::iter::repeat_with(|| fastrand::u8(..));
    say_garbage(&stage, random.take(50_000).collect()).await;
    let says_so = |raw: &Raw| raw.headers.iter().any(|(name, _)| name == "dead-letter-copy");
    copied(&stage, |raw| says_so(raw) && raw.payload.is_none()).await;
    order_is_confirmed(&stage).await;

    delete(&stage, COPIES).await;
    say_garbage(&stage, b"\x07x".to_vec()).await;
    order_is_confirmed(&stage).await;
    copied(&stage, |raw| raw.payload.as_deref() == Some(b"\x07x")).await;
    let numbers = stage.numbers(ProcessName::Orders).await;
    let restored = "relay_topics_restored_total{service=\"order-service\",\
                    topic=\"order-service.dlq\"} 1";
    assert!(numbers.contains(restored), "{numbers}");
    stage.close(AuditExpectation { dead_letters: 2 }).await;
}
