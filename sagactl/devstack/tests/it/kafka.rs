//! A topic as tests use it: made, filled and read to its end.

use std::time::Duration;

use devstack::unique_prefix;
use rdkafka::{
    ClientConfig, Message as _,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer as _, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Topic {
    client: ClientConfig,
    name: String,
}

impl Topic {
    pub(crate) async fn new(brokers: &str) -> Self {
        let name = format!("{}topic", unique_prefix());
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "500");
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let answers = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert_eq!(answers, [Ok(name.clone())]);
        Self { client, name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn say(&self, words: &[&str]) {
        let producer: FutureProducer = self.client.clone().set("acks", "all").create().unwrap();
        for word in words {
            let record = FutureRecord::<str, str>::to(&self.name).payload(*word);
            producer.send(record, PATIENCE).await.unwrap();
        }
    }

    /// The first `count` words, read by a new group.
    pub(crate) async fn hear(&self, count: usize) -> Vec<String> {
        let consumer: StreamConsumer = self
            .client
            .clone()
            .set("group.id", unique_prefix())
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[&self.name]).unwrap();
        let mut words = Vec::new();
        while words.len() < count {
            let message = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap();
            words.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
        words
    }
}
