//! The whole service, as its process runs it, between a real broker and a real database.

use std::time::Duration;

use clap::Parser as _;
use devstack::{TestWait, none_left, until};
use inventory_service::{config::InventorySettings, run};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::Value;
use shared::{
    clock::Clock,
    kafka,
    lifecycle::ProcessLifecycle,
    outbox::OutboxRow,
    relay::{KafkaPublisher, MessagePublisher as _, PublishResult},
    service::ServiceAddresses,
    telemetry,
};

use crate::kit::{PATIENCE, TestService, new_order};

struct Process {
    addresses: ServiceAddresses,
    kafka: kafka::KafkaSettings,
    life: ProcessLifecycle,
}

async fn start(service: &TestService) -> Process {
    let urls = devstack::shared().await.urls();
    let settings = InventorySettings::parse_from([
        "inventory-service",
        "--database-url",
        &service.database_url,
        "--kafka-brokers",
        &urls.brokers,
        "--kafka-topic-prefix",
        &service.prefix,
        "--schema-registry-url",
        &urls.registry,
        "--http-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--seed",
    ]);
    let kafka = settings.common.kafka("test").unwrap();
    let life = ProcessLifecycle::new(PATIENCE);
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap();
    let addresses = run(settings, life.clone(), metrics).await.unwrap();
    Process { addresses, kafka, life }
}

/// Reads topics until `n` messages with this key were seen.
async fn read(kafka: &kafka::KafkaSettings, topics: &[&str], key: &str, n: usize) {
    let mut config = kafka.client();
    config.set("group.id", devstack::unique_prefix()).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    let names: Vec<String> = topics.iter().map(|topic| kafka.topic(topic)).collect();
    consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let (mut seen, mut patience) = (0, TestWait::until(&format!("{n} messages of {key}")));
    while seen < n {
        while let Some(Ok(message)) = consumer.poll(Duration::ZERO) {
            if message.key() == Some(key.as_bytes()) {
                seen += 1;
            }
        }
        patience.look_again(seen).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_on_the_topic_is_answered_on_the_topic() {
    let service = TestService::new().await;
    let process = start(&service).await;
    let client = reqwest::Client::new();
    let ready = format!("http://{}/readyz?verbose", process.addresses.admin);
    until("the service is ready", async || {
        let answer = client.get(&ready).send().await.unwrap();
        answer.status().is_success()
    })
    .await;

    let order = new_order();
    let key = order.to_string();
    let mut publisher = KafkaPublisher::new(process.kafka.clone(), 10);
    let mut tell = async |message| {
        let created_at = Clock::System.now();
        let kept = [OutboxRow { outbox_id: 1, created_at, message }];
        assert_eq!(publisher.publish(&kept).await, [PublishResult::Confirmed]);
    };
    let stock = format!("http://{}/stock/desk-lamp", process.addresses.http);
    // On a stalled machine the service may answer that it is not available.
    let until_sold = async |n: i64| {
        let mut patience = TestWait::until(&format!("{n} are sold"));
        loop {
            let stock: Value = client.get(&stock).send().await.unwrap().json().await.unwrap();
            if stock["sold"] == n {
                return;
            }
            patience.look_again(stock).await;
        }
    };

    tell(service.say_placed(order, &[("desk-lamp", 2), ("coffee-beans", 4)])).await;
    read(&process.kafka, &["stock-reserved"], &key, 1).await;
    tell(service.say_confirmed(order)).await;
    until_sold(2).await;
    tell(service.say_cancelled(order)).await;
    read(&process.kafka, &["stock-released"], &key, 1).await;

    until_sold(0).await;
    read(&process.kafka, &["product-changed"], "desk-lamp", 1).await;

    none_left("all is published", async || service.said().await.len()).await;
    assert_eq!(process.life.stop().await, std::process::ExitCode::SUCCESS);
    service.assert_adds_up().await;
    assert!(service.said().await.is_empty(), "nothing was said while it stopped");
}
