//! A topic as tests use it: made, filled and read to its end.

use devstack::{TestWait, unique_prefix};
use rdkafka::{
    ClientConfig, Message as _,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer as _, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

pub(crate) struct Topic {
    client: ClientConfig,
    name: String,
}

impl Topic {
    pub(crate) async fn new(brokers: &str) -> Self {
        let name = format!("{}topic", unique_prefix());
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "500");
        // A broker that stands still may take its time to tell of the topic.
        client.set("topic.metadata.propagation.max.ms", "600000");
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
            producer.send(record, Timeout::Never).await.unwrap();
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
        let mut patience = TestWait::until("the next word is heard");
        while words.len() < count {
            tokio::select! {
                // What a broker's restart leaves behind is no word; the client recovers by itself.
                Ok(message) = consumer.recv() => {
                    words.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
                }
                () = patience.look_again(words.len()) => {}
            }
        }
        words
    }
}
