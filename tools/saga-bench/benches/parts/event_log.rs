//! The relay alone, from a full outbox to the broker; and the consumer alone, on a full topic.

use std::{collections::HashMap, time::Duration};

use divan::{Bencher, counter::ItemsCount};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
};
use shared::{
    clock::Clock,
    consumer::{
        BatchProcessor, ConsumerSettings, ConsumerStep, GroupConsumer, HandlerOutcome,
        MessageHandler, NewMessage,
    },
    db,
    effects::WorkerWakers,
    fault::Fault,
    health::ProcessHealth,
    kafka::KafkaSettings,
    message::Message,
    outbox::{self, OutboxRow},
    relay::{KafkaPublisher, MessagePublisher as _, OutboxRelay, RelaySettings, RelayStep},
    sequence::SequenceWatch,
};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::fixture::{EVENTS, PATIENCE, broker, database, event, wait};

/// Messages in the outbox or on the topic.
const MESSAGES: usize = 100_000;
/// Keys that they belong to.
const KEYS: u64 = 10_000;
/// Messages in a batch, as in a service.
const BATCH: usize = 1_000;

/// A relay that leads, with a full outbox.
struct FullOutbox {
    relay: OutboxRelay<KafkaPublisher>,
    kafka: KafkaSettings,
}

/// What was published; it is read back when this is dropped, outside the time that is measured.
struct PublishedEvents(KafkaSettings);

impl FullOutbox {
    async fn new() -> Self {
        let (pool, settings) = database().await;
        let kafka = broker().await;
        let settings = RelaySettings {
            database: db::options(&settings, "bench relay").unwrap(),
            service: "bench",
            batch_max: BATCH,
            poll: PATIENCE,
            statement_limit: PATIENCE,
            stop_grace: PATIENCE,
            lead_limit: PATIENCE,
        };
        let publisher = KafkaPublisher::new(kafka.clone(), BATCH);
        let health = ProcessHealth::default().component("relay");
        let mut relay = OutboxRelay::new(settings, publisher, WorkerWakers::default(), health);
        assert_eq!(relay.step().await.unwrap(), RelayStep::Idle, "it leads");
        let mut conn = pool.acquire().await.unwrap();
        for batch in (0..MESSAGES as u64).collect::<Vec<_>>().chunks(BATCH) {
            outbox::append(&mut conn, &batch.iter().copied().map(nth).collect::<Vec<_>>())
                .await
                .unwrap();
        }
        Self { relay, kafka }
    }

    async fn publish(mut self) -> PublishedEvents {
        let mut published = 0;
        while published < MESSAGES {
            let step = self.relay.step().await.unwrap();
            let RelayStep::Published(n) = step else { panic!("{step:?} after {published}") };
            published += n;
        }
        PublishedEvents(self.kafka)
    }
}

/// The n-th message: keys take turns, and those of one key are counted.
fn nth(n: u64) -> shared::message::OutgoingMessage {
    event(n % KEYS, (n / KEYS).cast_signed() + 1)
}

impl Drop for PublishedEvents {
    /// Each key is whole and in its order.
    fn drop(&mut self) {
        let mut config = self.0.client();
        config.set("group.id", devstack::unique_prefix()).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&self.0.topic(EVENTS)]).unwrap();
        let mut next: HashMap<Vec<u8>, i64> = HashMap::new();
        let mut patience = devstack::TestWait::until("everything is read back");
        let mut read = 0;
        while read < MESSAGES {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                patience.looked(read);
                continue;
            };
            let message = message.unwrap();
            let mut headers = message.headers().unwrap().iter();
            let sequence = headers.find(|header| header.key == "ce_sequence").unwrap().value;
            let sequence = std::str::from_utf8(sequence.unwrap()).unwrap();
            let sequence: i64 = sequence.parse().unwrap();
            let expected = next.entry(message.key().unwrap().to_vec()).or_insert(1);
            assert_eq!(*expected, sequence, "a key is out of order");
            *expected += 1;
            read += 1;
        }
    }
}

/// Events a second from the outbox to the broker, confirmed and settled.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn relay_alone(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .with_inputs(|| wait(FullOutbox::new()))
        .bench_local_values(|full| wait(full.publish()));
}

/// Reads messages and does nothing with them.
struct NoEffect;

impl MessageHandler for NoEffect {
    type Input = ();

    fn topics(&self) -> Vec<&'static str> {
        vec![EVENTS]
    }

    async fn decode(&self, _message: &Message) -> Result<(), Fault> {
        Ok(())
    }

    async fn handle(
        &self,
        _conn: &mut PgConnection,
        _batch: &[NewMessage<'_, ()>],
    ) -> Result<HandlerOutcome, Fault> {
        Ok(HandlerOutcome::default())
    }
}

/// A consumer that has joined its group and read its first batch of a full topic.
struct FullTopic {
    consumer: GroupConsumer<NoEffect>,
    stop: CancellationToken,
}

impl FullTopic {
    async fn new() -> Self {
        let (pool, _settings) = database().await;
        let kafka = broker().await;
        let mut publisher = KafkaPublisher::new(kafka.clone(), BATCH);
        // One batch more: the first is read before the time begins.
        for batch in (0..(MESSAGES + BATCH) as u64).collect::<Vec<_>>().chunks(BATCH) {
            let row = |n: u64| OutboxRow {
                outbox_id: n.cast_signed(),
                created_at: Clock::System.now(),
                message: nth(n),
            };
            let rows: Vec<OutboxRow> = batch.iter().copied().map(row).collect();
            let answers = publisher.publish(&rows).await;
            assert!(answers.iter().all(shared::relay::PublishResult::is_confirmed));
        }
        let processor = BatchProcessor {
            service: "bench",
            handler: NoEffect,
            pool,
            wakers: WorkerWakers::default(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        };
        let health = ProcessHealth::default().component("consumer");
        let settings = ConsumerSettings::new(kafka);
        let consumer = GroupConsumer::new(processor, &settings, health).unwrap();
        let mut full = Self { consumer, stop: CancellationToken::new() };
        while full.read().await == 0 {}
        full
    }

    async fn read(&mut self) -> usize {
        let step = self.consumer.step(&self.stop).await.unwrap();
        if step == ConsumerStep::Idle {
            return 0;
        }
        let ConsumerStep::Processed(counts) = step else { panic!("{step:?}") };
        counts.fresh
    }

    async fn consume(mut self) -> Self {
        let mut read = 0;
        while read < MESSAGES {
            read += self.read().await;
        }
        self
    }
}

/// Messages a second: read, recorded in the inbox, offsets stored.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn consumer_alone(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .with_inputs(|| wait(FullTopic::new()))
        .bench_local_values(|full| wait(full.consume()));
}
