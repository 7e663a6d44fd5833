//! The whole service, started as its process starts it: topics in, topics out.

use std::time::Duration;

use clap::Parser as _;
use devstack::{TestWait, until};
use payment_service::config::PaymentSettings;
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use shared::{
    clock::Clock, config::CheckSettings as _, db, kafka, lifecycle::ProcessLifecycle,
    message::OutgoingMessage, telemetry,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    kit::{Others, PATIENCE},
    simulator::Simulator,
};

async fn settings(prefix: &str, gateway_url: &str) -> PaymentSettings {
    let urls = devstack::shared().await.urls();
    let database = devstack::database("service").await;
    let settings = PaymentSettings::try_parse_from([
        "payment-service",
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
        "--gateway-url",
        gateway_url,
    ])
    .unwrap();
    settings.check().unwrap();
    settings
}

fn publish(kafka: &kafka::KafkaSettings, messages: &[OutgoingMessage]) {
    let producer: ThreadedProducer<_> = kafka.producer(100).create().unwrap();
    for message in messages {
        let topic = kafka.topic(&message.topic);
        let mut headers = rdkafka::message::OwnedHeaders::new();
        for (key, value) in message.headers.iter() {
            headers = headers.insert(rdkafka::message::Header { key, value });
        }
        let record = BaseRecord::to(&topic)
            .key(message.key.as_deref().unwrap_or_default())
            .payload(message.payload.as_deref().unwrap_or_default())
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// The keys on a topic, once there are `n`.
async fn keys(kafka: &kafka::KafkaSettings, topic: &str, n: usize) -> Vec<String> {
    let mut config: ClientConfig = kafka.client();
    config.set("group.id", devstack::unique_prefix()).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&kafka.topic(topic)]).unwrap();
    let (mut seen, mut patience) = (Vec::new(), TestWait::until("messages on the topic"));
    while seen.len() < n {
        if let Some(Ok(message)) = consumer.poll(Duration::ZERO) {
            seen.push(String::from_utf8(message.key().unwrap().to_vec()).unwrap());
        } else {
            patience.look_again(seen.len()).await;
        }
    }
    seen
}

async fn stage(pool: &PgPool, order_id: Uuid) -> Option<String> {
    sqlx::query_scalar("SELECT stage FROM payments WHERE order_id = $1")
        .bind(order_id)
        .fetch_optional(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_come_by_topic_are_paid_and_said_by_topic() {
    let gateway = Simulator::start().await;
    let prefix = devstack::unique_prefix();
    let settings = settings(&prefix, &gateway.url).await;
    let kafka = settings.common.kafka("test").unwrap();
    let database = settings.common.database().unwrap().patient(PATIENCE);
    let pool = db::pool(&database, "test").unwrap();
    let others = Others::under(&prefix).await;
    let life = ProcessLifecycle::new(PATIENCE);
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap();
    payment_service::run(settings, life.clone(), metrics.clone()).await.unwrap();

    let (good, broke, gone) =
        (Clock::System.new_id(), Clock::System.new_id(), Clock::System.new_id());
    // Topics are not ordered among each other, so the cancellation has to be in before the rest.
    publish(&kafka, &[others.cancelled(gone)]);
    until("the cancellation is processed", async || stage(&pool, gone).await.is_some()).await;
    let messages = [
        others.placed(good, "tok_visa"),
        others.reserved(good),
        others.reserved(broke),
        others.placed(broke, "tok_chargeDeclined"),
        others.reserved(gone),
        others.placed(gone, "tok_visa"),
    ];
    publish(&kafka, &messages);
    assert_eq!(keys(&kafka, contract::PAYMENT_DONE, 1).await, [good.to_string()]);
    assert_eq!(keys(&kafka, contract::PAYMENT_FAILED, 1).await, [broke.to_string()]);
    publish(&kafka, &[others.cancelled(good)]);
    assert_eq!(keys(&kafka, contract::PAYMENT_REFUNDED, 1).await, [good.to_string()]);

    assert_eq!(stage(&pool, gone).await.as_deref(), Some("fenced"));
    let counts = gateway.counts().await;
    assert_eq!((counts.charges, counts.refunds, counts.net_minor), (1, 1, 0));
    until("every part is ready", async || life.health().is_ready()).await;
    assert!(metrics.render().contains("payment_outcomes_total"));
    let code = life.stop().await;
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}

#[test]
fn a_wrong_setting_is_one_clear_line() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_payment-service"))
        .env_clear()
        .args(["--database-url", "postgres://me:hunter2@db/payments"])
        .args(["--gateway-url", "gopher://gateway"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: GATEWAY_URL: it is not an http:// or https:// URL\n");
}
