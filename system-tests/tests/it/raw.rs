//! Raw messages: writes any bytes to a topic and reads them back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use devstack::TestWait;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::{Header, Headers as _, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};

/// One question to the broker may take this long, and is asked again.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

/// One wait for something to come.
const POLL: Duration = Duration::from_millis(100);

/// Asks the broker until it answers.
pub(crate) fn ask<T>(what: &str, mut question: impl FnMut() -> KafkaResult<T>) -> T {
    let mut patience = TestWait::until(what);
    loop {
        match question() {
            Ok(answer) => return answer,
            Err(error) => patience.look_again_blocking(error),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The whole name at the broker.
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl Raw {
    /// The text of a header.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        String::from_utf8(value.clone()?).ok()
    }

    /// The same with another value of a header that it has.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// The same with other bytes in a header that it has.
    pub(crate) fn bytes(self, name: &str, value: &[u8]) -> Self {
        self.set(name, Some(value.to_vec()))
    }

    /// The same with nothing in a header that it has.
    pub(crate) fn null(self, name: &str) -> Self {
        self.set(name, None)
    }

    fn set(mut self, name: &str, value: Option<Vec<u8>>) -> Self {
        self.headers.iter_mut().find(|(known, _)| known == name).unwrap().1 = value;
        self
    }

    /// The same without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(text, _)| text != name);
        self
    }

    /// The same with a header twice.
    pub(crate) fn twice(mut self, name: &str) -> Self {
        let header = self.headers.iter().find(|(text, _)| text == name).unwrap().clone();
        self.headers.push(header);
        self
    }
}

/// The refusals of the broker.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Vec<String>>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.0.lock().unwrap().push(format!("{}: {error}", message.topic()));
        }
    }
}

/// Puts them on their topics, in order and each once, however long the broker stands still.
pub(crate) async fn say(brokers: &str, messages: Vec<Raw>) {
    let refusals = Refusals::default();
    let producer: ThreadedProducer<Refusals> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .create_with_context(refusals.clone())
        .unwrap();
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
        let mut patience = TestWait::until("the broker has taken all messages");
        while producer.flush(POLL).is_err() {
            patience.looked(producer.in_flight_count());
        }
    };
    tokio::task::spawn_blocking(saying).await.unwrap();
    assert_eq!(*refusals.0.lock().unwrap(), Vec::<String>::new());
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
    let metadata =
        ask("the partitions of a topic", || consumer.fetch_metadata(Some(topic), ANSWER));
    let mut partitions = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) =
            ask("where it ends", || consumer.fetch_watermarks(topic, partition.id(), ANSWER));
        if high > low {
            ends.insert(partition.id(), high);
        }
        partitions.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut patience = TestWait::until(&format!("{topic} is read to its end"));
    let mut found = Vec::new();
    while !ends.is_empty() {
        let Some(Ok(message)) = consumer.poll(POLL) else {
            // Control records are passed without a message.
            for it in consumer.position().unwrap().elements() {
                let Offset::Offset(next) = it.offset() else { continue };
                ends.retain(|at, end| *at != it.partition() || next < *end);
            }
            patience.looked((found.len(), &ends));
            continue;
        };
        let mut headers = Vec::new();
        for header in message.headers().iter().flat_map(|borrowed_headers| borrowed_headers.iter())
        {
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
