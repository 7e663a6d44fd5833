//! Messages as bytes: whatever any client may put on a topic, or read from it.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use crate::stage::PATIENCE;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The whole name at the broker.
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl Raw {
    /// The same with another value of a header that it has.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let header = self.headers.iter_mut().find(|(it, _)| it == name).unwrap();
        header.1 = Some(value.as_bytes().to_vec());
        self
    }
}

/// Puts them on their topics, in order.
pub(crate) async fn say(brokers: &str, messages: Vec<Raw>) {
    let producer: ThreadedProducer<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let saying = move || {
        for message in &messages {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &message.headers {
                headers = headers.insert(Header { key, value: value.as_deref() });
            }
            let mut record = BaseRecord::<[u8], [u8]>::to(&message.topic).headers(headers);
            record.key = message.key.as_deref();
            record.payload = message.payload.as_deref();
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    };
    tokio::task::spawn_blocking(saying).await.unwrap();
}

/// Everything that stands on a topic now.
pub(crate) async fn read(brokers: &str, topic: &str) -> Vec<Raw> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_all(&brokers, &topic)).await.unwrap()
}

fn read_all(brokers: &str, topic: &str) -> Vec<Raw> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "a-stranger")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut partitions = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap();
        left += high - low;
        partitions.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let until = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while i64::try_from(found.len()).unwrap() < left {
        assert!(Instant::now() < until, "{topic} cannot be read to its end");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let mut headers = Vec::new();
        for header in message.headers().iter().flat_map(|it| it.iter()) {
            headers.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        }
        found.push(Raw {
            topic: topic.to_owned(),
            key: message.key().map(<[u8]>::to_vec),
            headers,
            payload: message.payload().map(<[u8]>::to_vec),
        });
    }
    found
}
