//! The whole service in this process, with a real broker, registry and database.

use std::process::ExitCode;

use clap::Parser as _;
use contract::ProductChanged;
use devstack::until;
use order_service::config::OrderSettings;
use shared::{
    clock::Clock,
    codec::{self, AvroCodec, EventMeta, RecordKind},
    config::CheckSettings as _,
    health::ProcessHealth,
    kafka,
    lifecycle::ProcessLifecycle,
    outbox,
    relay::{KafkaPublisher, MessagePublisher as _, PublishResult},
    telemetry,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::kit::{NOW, STANDSTILL, two_teas};

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_takes_orders_says_them_and_stops() {
    let urls = devstack::shared().await.urls();
    let database = devstack::database("orders").await;
    let prefix = devstack::unique_prefix();
    let ports = devstack::PortPair::claim();
    let [http, admin] = ports.numbers.map(|port| format!("127.0.0.1:{port}"));
    let settings = OrderSettings::try_parse_from([
        "order-service",
        &format!("--database-url={database}"),
        &format!("--kafka-brokers={}", urls.brokers),
        &format!("--kafka-topic-prefix={prefix}"),
        &format!("--schema-registry-url={}", urls.registry),
        &format!("--http-listen={http}"),
        &format!("--admin-listen={admin}"),
    ])
    .unwrap();
    settings.check().unwrap();
    let life = ProcessLifecycle::new(STANDSTILL);
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap();
    order_service::run(settings, life.clone(), metrics).await.unwrap();

    let client = reqwest::Client::new();
    until("ready", async || {
        let answer = client.get(format!("http://{admin}/readyz?verbose")).send().await.unwrap();
        answer.status().is_success()
    })
    .await;
    offer_tea(&urls.brokers, &urls.registry, &prefix).await;
    until("an order is taken", async || {
        let order = client.post(format!("http://{http}/orders")).header("idempotency-key", "k1");
        order.json(&two_teas()).send().await.unwrap().status().as_u16() == 202
    })
    .await;
    let outbox = PgPool::connect(&database).await.unwrap();
    until("it is said", async || {
        let kept = "SELECT count(*) FROM messaging.outbox";
        sqlx::query_scalar::<_, i64>(kept).fetch_one(&outbox).await.unwrap() == 0
    })
    .await;
    assert_eq!(life.stop().await, ExitCode::SUCCESS);
}

/// A message as inventory-service would publish it.
async fn offer_tea(brokers: &str, registry: &str, prefix: &str) {
    let settings = codec::CodecSettings {
        source: contract::source("inventory-service"),
        registry_url: registry.to_owned(),
        prefix: prefix.to_owned(),
    };
    let writes = [RecordKind::of::<ProductChanged>()];
    let health = ProcessHealth::default().component("codec");
    let codec = AvroCodec::connect(&settings, &writes, &[], &health, &CancellationToken::new())
        .await
        .unwrap();
    let product = ProductChanged {
        sku: "tea".to_owned(),
        name: "Tea".to_owned(),
        price_minor: 250,
        currency: "EUR".to_owned(),
        active: true,
        changed_at: NOW,
    };
    let id = Clock::System.new_id();
    let meta = EventMeta { id, subject: "tea".to_owned(), sequence: 1, at: NOW, trace: None };
    let message = codec.message(meta, &product).unwrap();
    let kafka = kafka::KafkaSettings {
        brokers: brokers.to_owned(),
        prefix: prefix.to_owned(),
        client_id: "test".to_owned(),
        security: kafka::ConnectionSecurity::default().into(),
        member: None,
    };
    let kept = outbox::OutboxRow { outbox_id: 1, created_at: NOW, message };
    assert_eq!(KafkaPublisher::new(kafka, 10).publish(&[kept]).await, [PublishResult::Confirmed]);
}
