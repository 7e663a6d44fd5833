//! The whole service, between a real broker and a real mail server.

use std::{net::SocketAddr, time::Duration};

use clap::Parser as _;
use contract::NotificationSent;
use devstack::{TestWait, until};
use notify_service::{NAME, config::NotifySettings, run};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use shared::{
    codec::Record as _, kafka, lifecycle::ProcessLifecycle, message::OutgoingMessage, telemetry,
};

use crate::{
    kit::{Order, PATIENCE, codec, say},
    mailbox::Mailbox,
};

async fn settings(prefix: &str) -> NotifySettings {
    let urls = devstack::shared().await.urls();
    let database = devstack::database("notify").await;
    let smtp = format!("smtp://{}", urls.smtp);
    NotifySettings::parse_from([
        NAME,
        "--database-url",
        &database,
        "--kafka-brokers",
        &urls.brokers,
        "--kafka-topic-prefix",
        prefix,
        "--schema-registry-url",
        &urls.registry,
        "--http-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--smtp-url",
        &smtp,
    ])
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn publish(kafka: &kafka::KafkaSettings, messages: &[OutgoingMessage]) {
    let producer: BaseProducer = kafka.client().create().unwrap();
    for message in messages {
        let mut headers = rdkafka::message::OwnedHeaders::new();
        for (key, value) in message.headers.iter() {
            headers = headers.insert(rdkafka::message::Header { key, value });
        }
        let topic = kafka.topic(&message.topic);
        let record = BaseRecord::to(&topic)
            .key(message.key.as_deref().unwrap())
            .payload(message.payload.as_deref().unwrap())
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// The keys of the messages on a topic, once there are `n` of them.
fn keys(kafka: &kafka::KafkaSettings, topic: &str, n: usize) -> Vec<String> {
    let mut config = kafka.client();
    config.set("group.id", devstack::unique_prefix()).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&kafka.topic(topic)]).unwrap();
    let mut patience = TestWait::until(&format!("{n} messages on {topic}"));
    let mut keys = Vec::new();
    while keys.len() < n {
        patience.looked(keys.len());
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        keys.push(String::from_utf8(message.key().unwrap().to_vec()).unwrap());
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_on_topics_arrives_as_mail_and_is_said_on_a_topic() {
    let prefix = devstack::unique_prefix();
    let settings = settings(&prefix).await;
    let kafka = settings.common.kafka("test").unwrap();
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap();
    let life = ProcessLifecycle::new(PATIENCE);
    let addresses = run(settings, life.clone(), metrics).await.unwrap();
    until("it is ready", async || get(addresses.admin, "/readyz").await.0 == 200).await;

    let shop = codec("shop", &prefix).await;
    let order = Order::new();
    publish(&kafka, &[say(&shop, &order, &order.confirmed()), say(&shop, &order, &order.placed())]);
    let said = tokio::task::spawn_blocking(move || keys(&kafka, NotificationSent::TOPIC, 1));
    assert_eq!(said.await.unwrap(), [order.id.to_string()]);
    assert_eq!(Mailbox::open().await.mails(&order).await.len(), 1);

    let (path, message_id) =
        (format!("/notifications/{}", order.id), order.message_id("confirmed"));
    until("its mail is shown", async || get(addresses.http, &path).await.1.contains(&message_id))
        .await;
    let numbers = get(addresses.admin, "/metrics").await.1;
    assert!(numbers.contains("notify_mails_total{outcome=\"taken\"}"), "{numbers}");
    let ended = format!("{:?}", life.stop().await);
    assert_eq!(ended, format!("{:?}", std::process::ExitCode::SUCCESS));
}
