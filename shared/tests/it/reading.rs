//! The messages that a consumer reads, and its report when it cannot: compressed messages, fewer
//! partitions than members, deleted topics, batches that no client can unpack.

use devstack::TestWait;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use shared::{
    consumer::{ConsumerSettings, ConsumerStep, GroupConsumer},
    health::ProcessHealth,
    kafka,
    message::OutgoingMessage,
    telemetry,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::kit::{
    NUMBERS, PATIENCE, Tally, broker, create_topics, database, number, parts, publish, totals,
    value,
};

/// A consumer and its health.
struct Member {
    consumer: GroupConsumer<Tally>,
    health: ProcessHealth,
}

impl Member {
    fn join(pool: &PgPool, kafka: &kafka::KafkaSettings) -> Self {
        let health = ProcessHealth::default();
        let (parts, settings) =
            (parts(pool, Tally::default()), ConsumerSettings::new(kafka.clone()));
        let consumer = GroupConsumer::new(parts, &settings, health.component("consumer")).unwrap();
        Self { consumer, health }
    }

    /// One step; returns the health after it.
    async fn step(&mut self) -> Result<(), String> {
        let did = self.consumer.step(&CancellationToken::new()).await.unwrap();
        assert!(
            matches!(did, ConsumerStep::Processed(_) | ConsumerStep::Idle | ConsumerStep::Dropped),
            "{did:?}"
        );
        self.health.report()["consumer"].clone().map(|_remark| ())
    }

    async fn leave(self) {
        let stop = CancellationToken::new();
        stop.cancel();
        Box::pin(self.consumer.run(stop)).await.unwrap();
    }
}

/// Steps until the member's health is as expected; returns the reason, if there is one.
async fn until_it_says(
    member: &mut Member,
    awaited: &str,
    wanted: impl Fn(&Result<(), String>) -> bool,
) -> String {
    let mut patience = TestWait::until(awaited);
    loop {
        let word = member.step().await;
        if wanted(&word) {
            return word.err().unwrap_or_default();
        }
        patience.looked(word);
    }
}

async fn until_total(member: &mut Member, pool: &PgPool, sum: i64) {
    let mut patience = TestWait::until(&format!("the numbers add up to {sum}"));
    loop {
        drop(member.step().await);
        let total = totals(pool).await.into_values().sum::<i64>();
        if total == sum {
            return;
        }
        patience.looked(total);
    }
}

/// Publishes messages as one batch, with this compression.
async fn publish_compressed(
    kafka: &kafka::KafkaSettings,
    compression: &str,
    messages: Vec<OutgoingMessage>,
) {
    let (kafka, compression) = (kafka.clone(), compression.to_owned());
    let saying = move || {
        let mut config = kafka.client();
        config
            .set("topic.metadata.propagation.max.ms", "300000")
            .set("compression.type", compression)
            .set("message.max.bytes", "300000000")
            .set("linger.ms", "200");
        let producer: ThreadedProducer<_> = config.create().unwrap();
        for message in &messages {
            let mut headers = rdkafka::message::OwnedHeaders::new();
            for (key, value) in message.headers.iter() {
                headers = headers.insert(rdkafka::message::Header { key, value });
            }
            let topic = kafka.topic(&message.topic);
            let record = BaseRecord::to(&topic)
                .key(message.key.as_ref().unwrap())
                .payload(message.payload.as_ref().unwrap())
                .headers(headers);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    };
    tokio::task::spawn_blocking(saying).await.unwrap();
}

fn admin(kafka: &kafka::KafkaSettings) -> AdminClient<DefaultClientContext> {
    kafka.client().create().unwrap()
}

fn patient() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE))
}

/// Enough messages for compression: the client sends a batch as it is if it does not shrink.
fn ones(key: &str) -> Vec<OutgoingMessage> {
    (1..=50).map(|sequence| number(NUMBERS, key, sequence, 1)).collect()
}

#[tokio::test]
async fn messages_are_read_in_every_compression_that_kafka_has() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        publish_compressed(&kafka, compression, ones(compression)).await;
    }
    let mut member = Member::join(&pool, &kafka);
    until_total(&mut member, &pool, 5 * 50).await;
    assert_eq!(totals(&pool).await["zstd"], 50);
    member.leave().await;
}

/// The broker recompresses batches that producers send with another compression.
#[tokio::test]
async fn a_topic_whose_compression_is_zstd_is_read() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    let name = kafka.topic(NUMBERS);
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("compression.type", "zstd");
    for made in admin(&kafka).create_topics(&[topic], &patient()).await.unwrap() {
        made.unwrap();
    }
    publish(&kafka, &ones("a")).await;
    let mut member = Member::join(&pool, &kafka);
    until_total(&mut member, &pool, 50).await;
    member.leave().await;
}

#[tokio::test]
async fn of_two_members_on_one_partition_both_are_ready() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    let mut members = [Member::join(&pool, &kafka), Member::join(&pool, &kafka)];
    let mut patience = TestWait::until("both are ready at the same time");
    loop {
        let [first, second] = &mut members;
        let words = tokio::join!(first.step(), second.step());
        if words == (Ok(()), Ok(())) && totals(&pool).await.contains_key("a") {
            break;
        }
        patience.looked(words);
    }
    let [first, second] = members;
    tokio::join!(first.leave(), second.leave());
}

#[tokio::test]
async fn a_topic_that_is_deleted_under_a_consumer_is_named_by_it() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    let mut member = Member::join(&pool, &kafka);
    until_total(&mut member, &pool, 1).await;
    until_it_says(&mut member, "it is ready", Result::is_ok).await;

    let name = kafka.topic(NUMBERS);
    for gone in admin(&kafka).delete_topics(&[&name], &patient()).await.unwrap() {
        gone.unwrap();
    }
    let names_it = |word: &Result<(), String>| {
        word.as_ref()
            .is_err_and(|text| text.contains(&name) && text.contains("UnknownTopicOrPartition"))
    };
    until_it_says(&mut member, "it names the topic that is gone", names_it).await;

    create_topics(&kafka, &[NUMBERS], 1).await;
    // The group may continue from its old offset.
    publish(&kafka, &[number(NUMBERS, "b", 1, 0), number(NUMBERS, "c", 1, 10)]).await;
    until_total(&mut member, &pool, 11).await;
    until_it_says(&mut member, "it is ready again", Result::is_ok).await;
    member.leave().await;
}

/// A batch that is small for the broker and, unpacked, larger than the client accepts: no
/// librdkafka consumer can read past it.
#[tokio::test]
async fn a_batch_that_cannot_be_unpacked_is_named_until_reading_goes_on_behind_it() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    let mut member = Member::join(&pool, &kafka);
    until_total(&mut member, &pool, 1).await;

    let mut huge = number(NUMBERS, "b", 1, 1);
    huge.payload = Some(vec![b'0'; 101_000_000]);
    publish_compressed(&kafka, "zstd", vec![huge]).await;
    publish(&kafka, &[number(NUMBERS, "c", 1, 10)]).await;
    let says_why = |word: &Result<(), String>| {
        word.as_ref().is_err_and(|text| text.contains("BadCompression"))
    };
    let why = until_it_says(&mut member, "it says what it cannot read", says_why).await;
    assert!(value("consumer_errors_total{service=\"tally\",kind=\"reading\"}") >= 3.0);
    assert!(why.contains(&format!("{}/0@1", kafka.topic(NUMBERS))), "{why}");

    // As an operator would, after a check: docs/runbooks/ConsumerCannotRead.md.
    let mut behind = TopicPartitionList::new();
    behind.add_partition_offset(&kafka.topic(NUMBERS), 0, Offset::Offset(2)).unwrap();
    admin(&kafka).delete_records(&behind, &patient()).await.unwrap();
    until_total(&mut member, &pool, 11).await;
    until_it_says(&mut member, "it is ready again", Result::is_ok).await;
    member.leave().await;
}
