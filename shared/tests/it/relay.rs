//! The relay: no loss, first occurrences in order, a relay that lost its lock settles nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use devstack::{TestWait, none_left};
use shared::{
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    outbox::{self, OutboxRow},
    relay::{
        KafkaPublisher, MessagePublisher, OutboxRelay, PublishResult, RelaySettings, RelayStep,
    },
    telemetry,
};
use sqlx::{Executor as _, PgPool};
use tokio_util::sync::CancellationToken;

use crate::kit::{NUMBERS, PATIENCE, broker, create_topics, database, number, read_topic, value};

/// A log that stores messages and confirms those that `rule` selects.
#[derive(Clone)]
struct Recorder {
    log: Arc<Mutex<Vec<(String, i64)>>>,
    rule: fn(usize) -> bool,
    rounds: usize,
}

impl Recorder {
    fn confirming(rule: fn(usize) -> bool) -> Self {
        Self { log: Arc::default(), rule, rounds: 0 }
    }

    /// The first occurrence of each message, per key, in the order of the log.
    fn first_occurrences(&self) -> HashMap<String, Vec<i64>> {
        let mut seen: HashMap<String, Vec<i64>> = HashMap::new();
        for (key, number) in self.log.lock().unwrap().iter() {
            let known = seen.entry(key.clone()).or_default();
            if !known.contains(number) {
                known.push(*number);
            }
        }
        seen
    }
}

impl MessagePublisher for Recorder {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        self.rounds += 1;
        let mut log = self.log.lock().unwrap();
        messages
            .iter()
            .enumerate()
            .map(|(place, kept)| {
                let text =
                    |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
                log.push((text(&kept.message.key), text(&kept.message.payload).parse().unwrap()));
                let confirmed = (self.rule)(place + self.rounds);
                if confirmed { PublishResult::Confirmed } else { PublishResult::Unconfirmed }
            })
            .collect()
    }
}

pub(crate) fn settings(database: &db::DatabaseSettings) -> RelaySettings {
    RelaySettings {
        database: db::options(database, "relay").unwrap(),
        service: "test",
        batch_max: 10,
        poll: Duration::from_millis(20),
        statement_limit: PATIENCE,
        stop_grace: PATIENCE,
        lead_limit: PATIENCE,
    }
}

pub(crate) fn relay<P: MessagePublisher>(
    database: &db::DatabaseSettings,
    publisher: P,
) -> OutboxRelay<P> {
    let health = ProcessHealth::default().component("relay");
    OutboxRelay::new(settings(database), publisher, WorkerWakers::default(), health)
}

async fn keep(pool: &PgPool, keys: i64, each: i64) {
    let mut conn = pool.acquire().await.unwrap();
    for sequence in 1..=each {
        let messages: Vec<_> =
            (0..keys).map(|key| number(NUMBERS, &key.to_string(), sequence, sequence)).collect();
        outbox::append(&mut conn, &messages).await.unwrap();
    }
}

pub(crate) async fn backlog(pool: &PgPool) -> u64 {
    let mut conn = pool.acquire().await.unwrap();
    outbox::backlog(&mut conn, 1_000_000).await.unwrap().messages
}

/// Steps until there is nothing to publish.
pub(crate) async fn until_idle<P: MessagePublisher>(pool: &PgPool, relay: &mut OutboxRelay<P>) {
    let mut patience = TestWait::until("the outbox is empty");
    loop {
        let step = relay.step().await.unwrap();
        if step == RelayStep::Idle {
            return;
        }
        patience.looked((step, backlog(pool).await));
    }
}

#[tokio::test]
async fn lost_confirmations_mean_repeats_never_a_loss_and_never_a_swap() {
    let (pool, database) = database().await;
    keep(&pool, 7, 20).await;
    // Two of three confirmations arrive, others each time.
    let recorder = Recorder::confirming(|n| n % 3 != 0);
    let mut relay = relay(&database, recorder.clone());
    let (mut unconfirmed, mut patience) = (0, TestWait::until("the outbox is empty"));
    loop {
        match relay.step().await.unwrap() {
            RelayStep::Idle => break,
            RelayStep::Unconfirmed(_) => unconfirmed += 1,
            RelayStep::Published(_)
            | RelayStep::Held
            | RelayStep::Standby
            | RelayStep::Deposed
            | RelayStep::GaveUp
            | RelayStep::Resting => (),
        }
        patience.looked(backlog(&pool).await);
    }
    assert!(unconfirmed > 0);
    assert_eq!(backlog(&pool).await, 0);
    let seen = recorder.first_occurrences();
    assert_eq!(seen.len(), 7);
    assert!(seen.values().all(|numbers| *numbers == (1..=20).collect::<Vec<_>>()), "{seen:?}");
}

#[tokio::test]
async fn what_is_in_the_outbox_when_the_process_stops_goes_out_first() {
    let (pool, database) = database().await;
    keep(&pool, 1, 35).await;
    let stop = CancellationToken::new();
    stop.cancel();
    relay(&database, Recorder::confirming(|_| true)).run(stop).await.unwrap();
    assert_eq!(backlog(&pool).await, 0);
}

/// A log that never answers.
struct Silent;

impl MessagePublisher for Silent {
    async fn publish(&mut self, _messages: &[OutboxRow]) -> Vec<PublishResult> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_log_that_never_answers_does_not_keep_the_process_from_stopping() {
    let (pool, database) = database().await;
    keep(&pool, 1, 1).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let settings = RelaySettings { stop_grace: Duration::from_millis(100), ..settings(&database) };
    let health = ProcessHealth::default().component("relay");
    let relay = OutboxRelay::new(settings, Silent, WorkerWakers::default(), health);
    tokio::time::timeout(PATIENCE, relay.run(stop)).await.unwrap().unwrap();
    assert_eq!(backlog(&pool).await, 1);
}

#[tokio::test]
async fn a_second_relay_stands_by_and_takes_over_when_the_first_is_gone() {
    let (pool, database) = database().await;
    keep(&pool, 1, 15).await;
    let recorder = Recorder::confirming(|_| true);
    let mut first = relay(&database, recorder.clone());
    let mut second = relay(&database, recorder.clone());
    assert_eq!(first.step().await.unwrap(), RelayStep::Published(10));
    let epoch = epoch_of(&pool).await;
    assert_eq!(second.step().await.unwrap(), RelayStep::Standby);
    drop(first);
    let mut patience = TestWait::until("the lock is free");
    while second.step().await.unwrap() == RelayStep::Standby {
        patience.look_again(RelayStep::Standby).await;
    }
    assert_eq!(recorder.first_occurrences()["0"], (1..=15).collect::<Vec<_>>());
    assert!(epoch_of(&pool).await > epoch, "the one before could still settle");
}

async fn epoch_of(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT epoch FROM messaging.relay_lease").fetch_one(pool).await.unwrap()
}

/// Publishes, and then loses its lock before it can settle.
struct Zombie {
    inner: Recorder,
    pool: PgPool,
}

impl MessagePublisher for Zombie {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        let confirmed = self.inner.publish(messages).await;
        // Another relay took over: its epoch is one higher.
        self.pool.execute("UPDATE messaging.relay_lease SET epoch = epoch + 1").await.unwrap();
        confirmed
    }
}

#[tokio::test]
async fn a_relay_that_was_replaced_while_it_published_settles_nothing() {
    let (pool, database) = database().await;
    keep(&pool, 1, 3).await;
    let inner = Recorder::confirming(|_| true);
    let mut zombie = relay(&database, Zombie { inner, pool: pool.clone() });
    assert_eq!(zombie.step().await.unwrap(), RelayStep::Deposed);
    assert_eq!(backlog(&pool).await, 3);
}

#[tokio::test]
async fn a_relay_whose_connection_is_cut_starts_over_and_loses_nothing() {
    let (pool, database) = database().await;
    keep(&pool, 3, 20).await;
    let recorder = Recorder::confirming(|_| true);
    let mut relay = relay(&database, recorder.clone());
    relay.step().await.unwrap();
    pool.execute(
        "SELECT pg_terminate_backend(pid, 300000) FROM pg_stat_activity
         WHERE application_name = 'relay' AND datname = current_database()",
    )
    .await
    .unwrap();
    relay.step().await.unwrap_err();
    until_idle(&pool, &mut relay).await;
    assert_eq!(backlog(&pool).await, 0);
    assert!(
        recorder.first_occurrences().values().all(|items| *items == (1..=20).collect::<Vec<_>>())
    );
}

#[tokio::test]
async fn messages_reach_kafka_with_key_headers_and_order() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 3).await;
    keep(&pool, 5, 40).await;
    let mut relay = relay(&database, KafkaPublisher::new(kafka.clone(), 10));
    until_idle(&pool, &mut relay).await;
    assert_eq!(backlog(&pool).await, 0);
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let read = tokio::task::spawn_blocking(move || read_topic(&kafka, NUMBERS, 200)).await.unwrap();
    for (key, number) in read {
        seen.entry(key).or_default().push(number);
    }
    let expected: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
    assert_eq!(seen.len(), 5);
    assert!(seen.values().all(|items| *items == expected), "{seen:?}");
}

#[tokio::test]
async fn a_topic_that_is_missing_and_not_ours_to_make_is_waited_for_and_loses_nothing() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    keep(&pool, 2, 5).await;
    let stop = CancellationToken::new();
    let health = ProcessHealth::default();
    let relay = OutboxRelay::new(
        settings(&database),
        KafkaPublisher::new(kafka.clone(), 10),
        WorkerWakers::default(),
        health.component("relay"),
    );
    let running = relay.run(stop.clone());
    let mending = async {
        create_topics(&kafka, &[NUMBERS], 1).await;
        let left = async || usize::try_from(backlog(&pool).await).unwrap();
        none_left("the outbox is empty", left).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, mending);
    ended.unwrap();
    let read = tokio::task::spawn_blocking(move || read_topic(&kafka, NUMBERS, 10)).await.unwrap();
    assert_eq!(read.len(), 10);
}

/// Runs a relay until a condition holds.
async fn run_until<P: MessagePublisher>(relay: OutboxRelay<P>, holds: impl Fn() -> bool) {
    let stop = CancellationToken::new();
    let watching = async {
        devstack::until("what its numbers say", async || holds()).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(relay.run(stop.clone()), watching);
    ended.unwrap();
}

#[tokio::test]
async fn a_relay_says_in_numbers_whether_it_publishes() {
    let (pool, database) = database().await;
    keep(&pool, 3, 2).await;
    let named = |service, recorder: Recorder| {
        let settings = RelaySettings { service, ..settings(&database) };
        OutboxRelay::new(
            settings,
            recorder,
            WorkerWakers::default(),
            ProcessHealth::default().component("relay"),
        )
    };
    let of = |name: &str, service: &str| value(&format!("{name}{{service=\"{service}\"}}"));
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let unlucky = named("unlucky", Recorder::confirming(|_| false));
    assert_eq!(of("relay_leads", "unlucky").to_string(), "0");
    run_until(unlucky, || of("relay_failures_total", "unlucky") > 0.5).await;
    assert_eq!(of("relay_published_total", "unlucky").to_string(), "0");
    let lucky = named("lucky", Recorder::confirming(|_| true));
    run_until(lucky, || of("relay_published_total", "lucky") > 5.5).await;
    assert_eq!(of("relay_failures_total", "lucky").to_string(), "0");
    assert_eq!(of("relay_leads", "lucky").to_string(), "1");
    assert_eq!(of("relay_batch_size_sum", "lucky").to_string(), "6");
    assert_eq!(of("relay_ack_duration_seconds_count", "lucky").to_string(), "1");
}
