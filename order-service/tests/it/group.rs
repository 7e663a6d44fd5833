//! Two instances of the service: while one is stuck, the other cancels no order.

use std::{net::Ipv4Addr, process::ExitCode};

use clap::Parser as _;
use devstack::{PortPair, TestWait, until};
use order_service::config::OrderSettings;
use shared::{
    config::CheckSettings as _,
    kafka,
    lifecycle::ProcessLifecycle,
    message::OutgoingMessage,
    outbox,
    relay::{KafkaPublisher, MessagePublisher as _, PublishResult},
    telemetry,
};
use time::Duration;
use uuid::Uuid;

use crate::{
    kit::{NOW, STANDSTILL, Shop},
    words::paid,
};

/// Orders that wait for their payment, some in the partitions of each instance. The chance that all
/// but one are in the partitions of one instance is one in 2^39.
const ORDERS: usize = 40;

pub(crate) struct Instance {
    pub(crate) life: ProcessLifecycle,
    admin: String,
    _ports: PortPair,
}

impl Instance {
    /// An instance beside the shop: the same database, the same topics.
    pub(crate) async fn start(shop: &Shop) -> Self {
        let urls = devstack::shared().await.urls();
        let name: String = sqlx::query_scalar("SELECT current_database()::text")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        let (server, _) = urls.postgres.rsplit_once('/').unwrap();
        let ports = PortPair::claim();
        let [http, admin] = ports.numbers.map(|n| format!("{}:{n}", Ipv4Addr::LOCALHOST));
        let settings = OrderSettings::try_parse_from([
            "order-service",
            &format!("--database-url={server}/{name}"),
            &format!("--kafka-brokers={}", urls.brokers),
            &format!("--kafka-topic-prefix={}", shop.prefix),
            &format!("--schema-registry-url={}", urls.registry),
            &format!("--http-listen={http}"),
            &format!("--admin-listen={admin}"),
            "--sweep-behind-max=3s",
            "--sweep-poll=50ms",
        ])
        .unwrap();
        settings.check().unwrap();
        let life = ProcessLifecycle::new(STANDSTILL);
        let metrics = telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap();
        order_service::run(settings, life.clone(), metrics).await.unwrap();
        Self { life, admin, _ports: ports }
    }

    /// The reported state of each part.
    pub(crate) async fn says(&self) -> String {
        let url = format!("http://{}/readyz?verbose", self.admin);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

/// Connection settings of the shop's broker.
pub(crate) async fn broker(shop: &Shop) -> kafka::KafkaSettings {
    kafka::KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: shop.prefix.clone(),
        client_id: "test".to_owned(),
        security: kafka::ConnectionSecurity::default().into(),
        member: None,
    }
}

pub(crate) async fn publish(shop: &Shop, messages: Vec<OutgoingMessage>) {
    let kafka = broker(shop).await;
    let keep = |(outbox_id, message)| outbox::OutboxRow { outbox_id, created_at: NOW, message };
    let kept: Vec<_> = (1..).zip(messages).map(keep).collect();
    let answers = KafkaPublisher::new(kafka, 100).publish(&kept).await;
    assert!(answers.iter().all(PublishResult::is_confirmed), "{answers:?}");
}

/// Locks the orders as a consumer does, in the order of their ids: it may be at work on some.
pub(crate) async fn make_due(shop: &Shop, orders: &[Uuid]) {
    sqlx::query(
        "WITH locked AS MATERIALIZED (
             SELECT order_id FROM orders WHERE order_id = ANY ($1) ORDER BY order_id
             FOR NO KEY UPDATE
         )
         UPDATE orders SET due_at = now() FROM locked WHERE orders.order_id = locked.order_id",
    )
    .bind(orders)
    .execute(&shop.pool)
    .await
    .unwrap();
}

async fn how_many(shop: &Shop, stage: &str) -> usize {
    let n: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE stage = $1")
        .bind(stage)
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    usize::try_from(n).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_instance_is_stuck_the_other_cancels_nobody() {
    let shop = Shop::open().await;
    let instances = [Instance::start(&shop).await, Instance::start(&shop).await];
    let both = async |word: &str| {
        let [one, other] = [instances[0].says().await, instances[1].says().await];
        one.contains(word) && other.contains(word)
    };
    until("both have partitions and have read everything", async || {
        both("\"consumer\":\"ready\"").await && both("\"sweeper\":\"ready\"").await
    })
    .await;

    shop.clock.advance(Duration::days(100 * 365));
    let mut orders: Vec<Uuid> = vec![];
    for _ in 0..ORDERS {
        orders.push(shop.place().await);
    }
    let mut elsewhere = shared::db::begin(&shop.pool).await.unwrap();
    let idle = "SET LOCAL idle_in_transaction_session_timeout = 0";
    sqlx::query(idle).execute(&mut *elsewhere).await.unwrap();
    order_service::store::lock(&mut elsewhere, &orders[..1]).await.unwrap();
    let paid = |order: &Uuid| shop.said_of(*order, &paid(*order, 500));
    publish(&shop, vec![paid(&orders[0])]).await;
    until("an instance is stuck", async || shop.somebody_waits().await).await;
    publish(&shop, orders[1..].iter().map(paid).collect()).await;
    make_due(&shop, &orders[1..]).await;
    until("both hold back", async || both("holds back").await).await;
    assert_eq!(how_many(&shop, "cancelled").await, 0);
    assert!(how_many(&shop, "pending").await > 1, "behind the stuck order there are others");

    elsewhere.rollback().await.unwrap();
    let mut patience = TestWait::until("all are confirmed");
    loop {
        let confirmed = how_many(&shop, "confirmed").await;
        if confirmed == ORDERS {
            break;
        }
        patience.look_again(confirmed).await;
    }
    for instance in instances {
        assert_eq!(instance.life.stop().await, ExitCode::SUCCESS);
    }
}
