//! The broker alone: the messages of confirmed orders, with their headers and their sizes, by
//! producers and consumers with the services' own settings that do nothing else.
//!
//! As in the services, a producer waits for its batch before it sends the next one, and each
//! service reads its topics as a group of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use devstack::ServerStack;
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use shared::{
    clock::Clock,
    health::ProcessHealth,
    kafka::{ConnectionSecurity, KafkaSettings},
    message::{MessageEnvelope, MessageHeaders, TraceContext},
    topics::{self, ReplicaCount},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ControlResult, ControlSize, cpu_since, cpu_so_far};

/// A service: what it publishes of a confirmed order (topic and bytes of the body), and what it
/// reads of those.
struct ServiceTraffic {
    name: &'static str,
    publishes: &'static [(&'static str, usize)],
    reads: &'static [&'static str],
}

/// The traffic of a confirmed order. Bytes are those of the golden records in `contract`, with the
/// five that name the schema.
const TRAFFIC: [ServiceTraffic; 4] = [
    ServiceTraffic {
        name: "order-service",
        publishes: &[(contract::ORDER_PLACED, 129), (contract::ORDER_CONFIRMED, 56)],
        reads: &[contract::STOCK_RESERVED, contract::PAYMENT_DONE, contract::NOTIFICATION_SENT],
    },
    ServiceTraffic {
        name: "inventory-service",
        publishes: &[(contract::STOCK_RESERVED, 60)],
        reads: &[contract::ORDER_PLACED, contract::ORDER_CONFIRMED],
    },
    ServiceTraffic {
        name: "payment-service",
        publishes: &[(contract::PAYMENT_DONE, 61)],
        reads: &[contract::ORDER_PLACED, contract::STOCK_RESERVED],
    },
    ServiceTraffic {
        name: "notify-service",
        publishes: &[(contract::NOTIFICATION_SENT, 90)],
        reads: &[contract::ORDER_PLACED, contract::ORDER_CONFIRMED],
    },
];

/// Messages of an order.
const MESSAGES_EACH: u64 = 5;
/// A consumer that sees nothing for so long has lost something.
const PATIENCE: Duration = Duration::from_mins(2);
/// A poll of a consumer.
const POLL: Duration = Duration::from_millis(100);

/// Publishes and reads the messages of this number of orders, on topics of its own.
pub async fn run(stack: &ServerStack, size: ControlSize) -> anyhow::Result<ControlResult> {
    let kafka = KafkaSettings {
        brokers: stack.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "control".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    };
    let health = ProcessHealth::default().component("topics");
    let stop = CancellationToken::new();
    topics::ensure(&kafka, &contract::TOPICS, ReplicaCount::majority(1), &health, &stop).await?;
    let consumers = join_groups(&kafka).await?;
    let ids: Arc<[Uuid]> = (0..size.orders).map(|_| Clock::System.new_id()).collect();

    let before = cpu_so_far(stack).await;
    let began = Instant::now();
    let mut work = JoinSet::new();
    for (consumer, traffic) in consumers.into_iter().zip(TRAFFIC) {
        let expected = size.orders * traffic.reads.len() as u64;
        work.spawn_blocking(move || read(&consumer, traffic.name, expected));
    }
    for traffic in TRAFFIC {
        let (kafka, ids) = (kafka.clone(), Arc::clone(&ids));
        work.spawn_blocking(move || publish(&kafka, &traffic, &ids, size.batch));
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    let elapsed = began.elapsed();
    let cpu = cpu_since(stack, &before).await;
    Ok(ControlResult { orders: size.orders, messages: MESSAGES_EACH * size.orders, elapsed, cpu })
}

/// A consumer of each service, once all are assigned their partitions.
async fn join_groups(kafka: &KafkaSettings) -> anyhow::Result<Vec<BaseConsumer>> {
    let kafka = kafka.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let mut consumers = Vec::new();
        for traffic in TRAFFIC {
            let consumer: BaseConsumer = kafka.consumer(traffic.name).create()?;
            let names: Vec<String> = traffic.reads.iter().map(|name| kafka.topic(name)).collect();
            consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
            consumers.push(consumer);
        }
        for consumer in &consumers {
            while consumer.assignment()?.count() == 0 {
                // Nothing was published yet.
                consumer.poll(POLL).transpose()?;
            }
        }
        anyhow::Ok(consumers)
    });
    joined.await?
}

/// Reads this many messages, and stores the offset of each, as a service does after its commit.
fn read(consumer: &BaseConsumer, service: &str, expected: u64) -> anyhow::Result<()> {
    let (mut read, mut last) = (0, Instant::now());
    while read < expected {
        let Some(message) = consumer.poll(POLL) else {
            let is_late = last.elapsed() > PATIENCE;
            anyhow::ensure!(!is_late, "{service} has read {read} of {expected} messages");
            continue;
        };
        consumer.store_offset_from_message(&message?)?;
        (read, last) = (read + 1, Instant::now());
    }
    Ok(())
}

/// Publishes what a service says of these orders, and waits for each batch.
fn publish(
    kafka: &KafkaSettings,
    traffic: &ServiceTraffic,
    ids: &[Uuid],
    batch: usize,
) -> anyhow::Result<()> {
    let config = kafka.producer(batch * traffic.publishes.len());
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    for orders in ids.chunks(batch) {
        for (topic, bytes) in traffic.publishes {
            let name = kafka.topic(topic);
            let event_type = event_type(topic);
            let body = vec![0x2a_u8; *bytes];
            for id in orders {
                let key = id.to_string();
                let headers = headers(traffic.name, event_type, &key);
                let record = BaseRecord::to(&name).key(&key).payload(&body).headers(headers);
                producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        producer.flush(PATIENCE).with_context(|| format!("{} cannot publish", traffic.name))?;
    }
    Ok(())
}

/// The type of the events on a topic.
fn event_type(topic: &str) -> &'static str {
    let kinds = contract::record_kinds();
    kinds.iter().find(|kind| kind.topic() == topic).map_or("", |kind| kind.event_type())
}

/// The headers of a message, as a service writes them.
fn headers(service: &str, event_type: &'static str, key: &str) -> OwnedHeaders {
    let clock = Clock::System;
    let envelope = MessageEnvelope {
        id: clock.new_id(),
        event_type: event_type.into(),
        source: contract::source(service).into(),
        subject: key.to_owned(),
        sequence: 1,
        time: clock.now(),
        trace: Some(TraceContext::start()),
    };
    owned(&envelope.to_headers())
}

fn owned(headers: &MessageHeaders) -> OwnedHeaders {
    let with = |owned: OwnedHeaders, (key, value): (&str, Option<&[u8]>)| {
        owned.insert(Header { key, value })
    };
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), with)
}
