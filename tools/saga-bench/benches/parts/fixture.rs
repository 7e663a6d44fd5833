//! Databases, topics and messages for benchmarks, and the runtime that they run on.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use shared::{
    clock::Clock,
    db,
    health::ProcessHealth,
    kafka::{ConnectionSecurity, KafkaSettings},
    message::{IncomingMessage, Message, MessageEnvelope, OutgoingMessage, TraceContext},
    topics::{self, ReplicaCount, TopicSpec},
};
use sqlx::{PgPool, migrate::Migrator};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The topic of the messages here.
pub(crate) const EVENTS: &str = "bench-events";
static TOPICS: [TopicSpec; 1] = [TopicSpec::events(EVENTS)];

/// The body of an order that was placed, with the marks of its schema.
const BODY: &[u8] = include_bytes!("../../../../contract/tests/golden/order-placed.1.bin");

/// No limit of time is reached.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Waits for asynchronous work.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// An empty database with the tables of the messaging runtime.
pub(crate) async fn database() -> (PgPool, db::DatabaseSettings) {
    let url = devstack::database("bench").await;
    let settings = db::DatabaseSettings::new(SecretString::from(url)).patient(PATIENCE);
    let pool = db::pool(&settings, "bench").unwrap();
    db::migrate(&pool, &Migrator::DEFAULT).await.unwrap();
    (pool, settings)
}

/// A broker with the topic of the messages, empty.
pub(crate) async fn broker() -> KafkaSettings {
    let kafka = KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "bench".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    };
    let health = ProcessHealth::default().component("topics");
    let stop = CancellationToken::new();
    topics::ensure(&kafka, &TOPICS, ReplicaCount::majority(1), &health, &stop).await.unwrap();
    kafka
}

/// The n-th message of a key, as large as that of a new order.
pub(crate) fn event(key: u64, sequence: i64) -> OutgoingMessage {
    let clock = Clock::System;
    let subject = format!("00000000-0000-7000-8000-{key:012}");
    let envelope = MessageEnvelope {
        id: clock.new_id(),
        event_type: "shop.order-placed".into(),
        source: "/shop/order-service".into(),
        subject: subject.clone(),
        sequence,
        time: clock.now(),
        trace: Some(TraceContext::start()),
    };
    OutgoingMessage {
        id: envelope.id,
        topic: EVENTS.into(),
        key: Some(subject.into_bytes()),
        headers: envelope.to_headers(),
        payload: Some([&[0; 5], BODY].concat()),
    }
}

/// Messages of this many keys, each key once.
pub(crate) fn events(n: usize) -> Vec<OutgoingMessage> {
    (0..n as u64).map(|key| event(key, 1)).collect()
}

/// New messages as a consumer has them.
pub(crate) fn read_events(n: usize) -> Vec<Message> {
    static OFFSET: AtomicU64 = AtomicU64::new(0);
    let read = |outgoing: OutgoingMessage| Message {
        envelope: MessageEnvelope::from_headers(&outgoing.headers).unwrap(),
        incoming: IncomingMessage {
            topic: EVENTS.to_owned(),
            partition: 0,
            offset: OFFSET.fetch_add(1, Ordering::Relaxed).cast_signed(),
            timestamp_ms: None,
            key: outgoing.key,
            headers: outgoing.headers,
            payload: outgoing.payload,
        },
    };
    events(n).into_iter().map(read).collect()
}
