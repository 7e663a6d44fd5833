//! Shared parts of the messaging runtime's tests: a database, a topic, a handler that counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use devstack::TestWait;
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};
use secrecy::SecretString;
use shared::{
    clock::Clock,
    consumer::{BatchProcessor, HandlerOutcome, MessageHandler, NewMessage},
    db,
    effects::{DecisionEffects, MetricUpdate, WorkerWakers},
    fault::Fault,
    kafka,
    message::{IncomingMessage, Message, MessageEnvelope, OutgoingMessage, TraceContext},
    sequence::SequenceWatch,
    telemetry,
};
use sqlx::{Executor as _, PgConnection, PgPool};

/// The longest time for which a machine may stand still: for limits that no test should reach, and
/// as a guard around work that has to end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The topic that the test handler reads, and the topic of its sums.
pub(crate) const NUMBERS: &str = "numbers";
pub(crate) const SUMS: &str = "sums";

/// The counter of the test handler: numbers that it accepted.
pub(crate) const ACCEPTED: &str = "tally_accepted_total";

/// The table of the test handler.
pub(crate) const TALLY_TABLE: &str =
    "CREATE TABLE tally (key text PRIMARY KEY, total bigint NOT NULL, said bigint NOT NULL)";

/// A database with the tables of the runtime and of the test handler.
pub(crate) async fn database() -> (PgPool, db::DatabaseSettings) {
    let url = devstack::database("messaging").await;
    let settings = db::DatabaseSettings::new(SecretString::from(url)).patient(PATIENCE);
    let pool = db::pool(&settings, "test").unwrap();
    db::migrate(&pool, &sqlx::migrate::Migrator::DEFAULT).await.unwrap();
    pool.execute(TALLY_TABLE).await.unwrap();
    (pool, settings)
}

/// A broker with a topic prefix of its own.
pub(crate) async fn broker() -> kafka::KafkaSettings {
    kafka::KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "test".to_owned(),
        security: kafka::ConnectionSecurity::default().into(),
        member: None,
    }
}

/// A message about `key`, with a number in it.
pub(crate) fn number(
    topic: &'static str,
    key: &str,
    sequence: i64,
    number: i64,
) -> OutgoingMessage {
    let clock = Clock::System;
    let envelope = MessageEnvelope {
        id: clock.new_id(),
        event_type: "number".into(),
        source: "/test".into(),
        subject: key.to_owned(),
        sequence,
        time: clock.now(),
        trace: Some(TraceContext::start()),
    };
    OutgoingMessage {
        id: envelope.id,
        topic: topic.into(),
        key: Some(key.as_bytes().to_vec()),
        headers: envelope.to_headers(),
        payload: Some(number.to_string().into_bytes()),
    }
}

/// The same message as it is read at `offset`.
pub(crate) fn incoming(outgoing: &OutgoingMessage, offset: i64) -> IncomingMessage {
    IncomingMessage {
        topic: outgoing.topic.to_string(),
        partition: 0,
        offset,
        timestamp_ms: None,
        key: outgoing.key.clone(),
        headers: outgoing.headers.clone(),
        payload: outgoing.payload.clone(),
    }
}

/// Sums up numbers per key. A negative number is refused, 13 panics, 7 violates a constraint. 98
/// meets an outage in decoding and 99 in handling, as many times as `outages` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) outages: Arc<AtomicU32>,
}

impl MessageHandler for Tally {
    type Input = i64;

    fn topics(&self) -> Vec<&'static str> {
        vec![NUMBERS]
    }

    async fn decode(&self, message: &Message) -> Result<i64, Fault> {
        let payload = message.incoming.payload.as_deref().unwrap_or_default();
        let text = std::str::from_utf8(payload).map_err(Fault::poison)?;
        match text.parse() {
            Ok(98) if self.outages.load(Ordering::SeqCst) > 0 => {
                self.outages.fetch_sub(1, Ordering::SeqCst);
                Err(Fault::transient("an outage of what bodies are read with"))
            }
            Ok(number) => Ok(number),
            Err(_) => Err(Fault::poison("not a number")),
        }
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, i64>],
    ) -> Result<HandlerOutcome, Fault> {
        let mut handled = HandlerOutcome::default();
        let mut sums = BTreeMap::new();
        for (place, taken) in batch.iter().enumerate() {
            match *taken.input {
                13 => panic!("unlucky"),
                99 if self.outages.load(Ordering::SeqCst) > 0 => {
                    self.outages.fetch_sub(1, Ordering::SeqCst);
                    return Err(Fault::transient("an outage"));
                }
                number if number < 0 => handled.refused.push((place, "it is negative".to_owned())),
                number => {
                    *sums.entry(taken.message.envelope.subject.clone()).or_insert(0) += number;
                }
            }
        }
        let said: Vec<(String, i64, i64)> = sqlx::query_as(
            "INSERT INTO tally (key, total, said)
             SELECT key, CASE WHEN number = 7 THEN NULL ELSE number END, 1
             FROM unnest($1::text[], $2::int8[]) AS new (key, number)
             ON CONFLICT (key) DO UPDATE
             SET total = tally.total + excluded.total, said = tally.said + 1
             RETURNING key, said, total",
        )
        .bind(sums.keys().cloned().collect::<Vec<_>>())
        .bind(sums.values().copied().collect::<Vec<i64>>())
        .fetch_all(conn)
        .await?;
        let messages = said.iter().map(|(key, said, total)| number(SUMS, key, *said, *total));
        let accepted = batch.len() - handled.refused.len();
        handled.effects = DecisionEffects {
            messages: messages.collect(),
            metrics: vec![MetricUpdate::count(ACCEPTED, &[]); accepted],
            ..DecisionEffects::default()
        };
        Ok(handled)
    }
}

/// The parts of a service that only counts.
pub(crate) fn parts(pool: &PgPool, handler: Tally) -> BatchProcessor<Tally> {
    BatchProcessor {
        service: "tally",
        handler,
        pool: pool.clone(),
        wakers: WorkerWakers::default(),
        clock: Clock::System,
        watch: SequenceWatch::default(),
    }
}

/// Installs the recorder of metrics: what was counted before is not recorded.
pub(crate) fn count_from_here() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
}

/// The value of a series, named as it is rendered.
pub(crate) fn value(series: &str) -> f64 {
    value_on(&telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap().render(), series)
}

/// The value of a series on this page.
pub(crate) fn value_on(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|text| text.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

/// The sums of the handler.
pub(crate) async fn totals(pool: &PgPool) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT key, total FROM tally").fetch_all(pool).await.unwrap();
    rows.into_iter().collect()
}

/// The reasons in the dead letters, in order.
pub(crate) async fn dead(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("SELECT reason, detail FROM messaging.dead_letter ORDER BY \"offset\"")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Makes topics with one partition or more.
pub(crate) async fn create_topics(kafka: &kafka::KafkaSettings, names: &[&str], partitions: i32) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let names: Vec<String> = names.iter().map(|name| kafka.topic(name)).collect();
    let topics: Vec<_> = names
        .iter()
        .map(|text| NewTopic::new(text, partitions, TopicReplication::Fixed(1)))
        .collect();
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    for made in admin.create_topics(&topics, &patient).await.unwrap() {
        made.unwrap();
    }
}

/// Deletes and recreates topics: their offsets start at 0.
pub(crate) async fn begin_anew(kafka: &kafka::KafkaSettings, names: &[&str], partitions: i32) {
    use rdkafka::admin::{AdminClient, AdminOptions};
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let gone: Vec<String> = names.iter().map(|text| kafka.topic(text)).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    let patient =
        AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    for deleted in admin.delete_topics(&gone, &patient).await.unwrap() {
        deleted.unwrap();
    }
    create_topics(kafka, names, partitions).await;
    // A topic is created before every part of the broker knows it.
    let asker: BaseConsumer = kafka.client().create().unwrap();
    for (name, partition) in names.iter().flat_map(|name| (0..partitions).map(move |n| (name, n))) {
        let ends = || asker.fetch_watermarks(&kafka.topic(name), partition, Duration::from_secs(1));
        devstack::until("the topic begins at 0", async || ends().ok() == Some((0, 0))).await;
    }
}

/// Publishes messages to the log, as any client would.
pub(crate) async fn publish(kafka: &kafka::KafkaSettings, messages: &[OutgoingMessage]) {
    let kafka = kafka.clone();
    let messages = messages.to_vec();
    tokio::task::spawn_blocking(move || {
        let mut config = kafka.client();
        // A topic that was created a moment ago is waited for.
        config.set("topic.metadata.propagation.max.ms", "300000");
        let producer: ThreadedProducer<_> = config.create().unwrap();
        for message in &messages {
            let topic = kafka.topic(&message.topic);
            let mut headers = rdkafka::message::OwnedHeaders::new();
            for (key, value) in message.headers.iter() {
                headers = headers.insert(rdkafka::message::Header { key, value });
            }
            producer
                .send(
                    BaseRecord::to(&topic)
                        .key(message.key.as_ref().unwrap())
                        .payload(message.payload.as_ref().unwrap())
                        .headers(headers),
                )
                .map_err(|(error, _)| error)
                .unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    })
    .await
    .unwrap();
}

/// Reads a topic from its beginning until `n` messages were seen: key and body of each.
pub(crate) fn read_topic(
    kafka: &kafka::KafkaSettings,
    name: &str,
    n: usize,
) -> Vec<(String, String)> {
    let mut config: ClientConfig = kafka.client();
    config.set("group.id", devstack::unique_prefix()).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&kafka.topic(name)]).unwrap();
    let mut patience = TestWait::until(&format!("{n} messages on {name}"));
    let mut seen = Vec::new();
    while seen.len() < n {
        patience.looked(seen.len());
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        seen.push((text(message.key()), text(message.payload())));
    }
    seen
}
