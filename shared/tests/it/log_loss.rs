//! The log loses confirmed messages: that is noticed, and they are republished under the same ids.

use std::{collections::HashMap, time::Duration};

use devstack::TestWait;
use shared::{
    consumer::{ConsumerSettings as Reading, GroupConsumer},
    db,
    effects::WorkerWakers,
    health::{HealthComponent, ProcessHealth},
    kafka, outbox,
    published::{self, OffsetsByPartition, PublishedRetention},
    relay::{KafkaPublisher, OutboxRelay, RelaySettings, RelayStep},
    telemetry,
};
use sqlx::{Executor as _, PgPool};
use tokio_util::sync::CancellationToken;

use crate::kit::{
    NUMBERS, PATIENCE, Tally, begin_anew, broker, create_topics, database, number, parts,
    read_topic, totals, value,
};

const LATEST: &str = "latest-numbers";
/// The number of messages in one batch.
const BATCH: usize = 10;

fn relay(
    database: &db::DatabaseSettings,
    kafka: &kafka::KafkaSettings,
    service: &'static str,
    health: HealthComponent,
) -> OutboxRelay<KafkaPublisher> {
    let settings = RelaySettings {
        database: db::options(database, "relay").unwrap(),
        service,
        batch_max: BATCH,
        poll: Duration::from_millis(20),
        statement_limit: PATIENCE,
        lead_limit: PATIENCE,
        stop_grace: PATIENCE,
    };
    let keep = PublishedRetention { latest: vec![LATEST], ..PublishedRetention::default() };
    OutboxRelay::new(
        settings,
        KafkaPublisher::new(kafka.clone(), BATCH),
        WorkerWakers::default(),
        health,
    )
    .keeping(keep)
}

fn any() -> HealthComponent {
    ProcessHealth::default().component("relay")
}

/// Stores the numbers from `first` on in the outbox, this many for each of three keys.
async fn keep(pool: &PgPool, topic: &'static str, first: i64, each: i64) {
    let mut conn = pool.acquire().await.unwrap();
    for sequence in first..first + each {
        let of = |key| number(topic, key, sequence, sequence);
        outbox::append(&mut conn, &["a", "b", "c"].map(of)).await.unwrap();
    }
}

/// Steps until no message is left; returns how many were published.
async fn until_idle(relay: &mut OutboxRelay<KafkaPublisher>) -> usize {
    let (mut n, mut patience) = (0, TestWait::until("nothing is to be published"));
    loop {
        let did = relay.step().await.unwrap();
        if did == RelayStep::Idle {
            return n;
        }
        if let RelayStep::Published(more) = did {
            n += more;
        }
        // Or another relay of this test was dropped only a moment ago.
        patience.looked((did, n));
    }
}

/// The numbers on a topic, by key, in the order of the log.
async fn on(
    kafka: &kafka::KafkaSettings,
    topic: &'static str,
    n: usize,
) -> HashMap<String, Vec<i64>> {
    let kafka = kafka.clone();
    let read = tokio::task::spawn_blocking(move || read_topic(&kafka, topic, n)).await.unwrap();
    let mut numbers: HashMap<String, Vec<i64>> = HashMap::new();
    for (key, number) in read {
        numbers.entry(key).or_default().push(number.parse().unwrap());
    }
    numbers
}

async fn losses(pool: &PgPool) -> Vec<(String, bool)> {
    sqlx::query_as("SELECT topic, ended_at IS NOT NULL FROM messaging.log_loss ORDER BY topic")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_relay_that_begins_finds_the_loss_and_what_is_lost_goes_out_before_what_is_new() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS, "other"], 3).await;
    keep(&pool, NUMBERS, 1, 7).await;
    keep(&pool, "other", 1, 1).await;
    let mut before = relay(&database, &kafka, "test", any());
    assert_eq!(until_idle(&mut before).await, 24);
    drop(before);
    assert_eq!(losses(&pool).await, []);
    begin_anew(&kafka, &[NUMBERS], 3).await;
    keep(&pool, NUMBERS, 8, 1).await;
    let mut after = relay(&database, &kafka, "test", any());
    assert_eq!(until_idle(&mut after).await, 21 + 3, "the other topic lost nothing");
    let numbers = on(&kafka, NUMBERS, 24).await;
    for key in ["a", "b", "c"] {
        assert_eq!(numbers[key], (1..=8).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(losses(&pool).await, [(NUMBERS.to_owned(), true)]);
    drop(after);
    assert_eq!(until_idle(&mut relay(&database, &kafka, "test", any())).await, 0, "it is over");
}

#[tokio::test]
async fn a_relay_that_runs_finds_the_loss_by_the_offsets_of_the_next_batch_and_says_so() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    create_topics(&kafka, &[NUMBERS], 1).await;
    keep(&pool, NUMBERS, 1, 7).await;
    let health = ProcessHealth::default();
    let mut relay = relay(&database, &kafka, "loser", health.component("relay"));
    assert_eq!(value("log_losses_total{service=\"loser\"}").to_string(), "0");
    until_idle(&mut relay).await;
    begin_anew(&kafka, &[NUMBERS], 1).await;
    keep(&pool, NUMBERS, 8, 1).await;
    until_idle(&mut relay).await;
    let numbers = on(&kafka, NUMBERS, 24).await;
    for key in ["a", "b", "c"] {
        let mut numbers = numbers[key].clone();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(losses(&pool).await, [(NUMBERS.to_owned(), true)]);
    assert_eq!(value("log_losses_total{service=\"loser\"}").to_string(), "1");
    assert_eq!(value("relay_published_again_total{service=\"loser\"}").to_string(), "21");
}

#[tokio::test]
async fn a_reader_of_a_part_of_it_processes_the_rest_and_nothing_twice() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS, "sums", "tally.dlq"], 1).await;
    keep(&pool, NUMBERS, 1, 10).await;
    let mut before = relay(&database, &kafka, "test", any());
    // Ten of thirty are published and read.
    assert_eq!(before.step().await.unwrap(), RelayStep::Published(BATCH));
    consume(&pool, &kafka, 1 + 1 + 1 + 2 + 2 + 2 + 3 + 3 + 3 + 4).await;
    until_idle(&mut before).await;
    drop(before);
    begin_anew(&kafka, &[NUMBERS], 1).await;
    until_idle(&mut relay(&database, &kafka, "test", any())).await;
    consume(&pool, &kafka, 3 * 55).await;
    assert!(totals(&pool).await.values().all(|n| *n == 55));
    let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.dead_letter")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(letters, 0);
}

/// Reads until the sum is this.
async fn consume(pool: &PgPool, kafka: &kafka::KafkaSettings, total: i64) {
    let parts = parts(pool, Tally::default());
    let mut consumer = GroupConsumer::new(parts, &Reading::new(kafka.clone()), any()).unwrap();
    let (stop, mut patience) = (CancellationToken::new(), TestWait::until("all is added up"));
    let sum = async || totals(pool).await.values().sum::<i64>();
    while sum().await != total {
        let did = consumer.step(&stop).await.unwrap();
        patience.looked((did, sum().await));
    }
}

#[tokio::test]
async fn a_relay_that_ends_in_the_middle_is_followed_by_one_that_goes_on_there() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    keep(&pool, NUMBERS, 1, 12).await;
    until_idle(&mut relay(&database, &kafka, "test", any())).await;
    begin_anew(&kafka, &[NUMBERS], 1).await;
    let mut first = relay(&database, &kafka, "test", any());
    let mut patience = TestWait::until("the first batch is published again");
    loop {
        let did = first.step().await.unwrap();
        if let RelayStep::Published(n) = did {
            break assert_eq!(n, BATCH);
        }
        patience.looked(did);
    }
    drop(first);
    // Another relay took over during its last statement: it can record nothing.
    let (mut conn, none) = (pool.acquire().await.unwrap(), OffsetsByPartition::default());
    assert!(!published::said_again(&mut conn, 0, (NUMBERS, None), &none).await.unwrap());
    assert_eq!(losses(&pool).await, [(NUMBERS.to_owned(), false)]);
    assert_eq!(until_idle(&mut relay(&database, &kafka, "test", any())).await, 36 - BATCH);
    assert_eq!(on(&kafka, NUMBERS, 36).await["a"], (1..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_a_topic_of_latest_values_the_last_one_of_each_key_is_published_again_however_old() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[LATEST, NUMBERS], 1).await;
    keep(&pool, LATEST, 1, 8).await;
    keep(&pool, NUMBERS, 1, 2).await;
    until_idle(&mut relay(&database, &kafka, "test", any())).await;
    pool.execute("UPDATE messaging.published SET published_at = now() - interval '8 days'")
        .await
        .unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(published::purge(&mut conn, Duration::from_hours(24), 100).await.unwrap(), 6);
    begin_anew(&kafka, &[LATEST, NUMBERS], 1).await;
    assert_eq!(until_idle(&mut relay(&database, &kafka, "test", any())).await, 3);
    let expected = ["a", "b", "c"].map(|key| (key.to_owned(), vec![8]));
    assert_eq!(on(&kafka, LATEST, 3).await, HashMap::from(expected));
    assert_eq!(losses(&pool).await, [(LATEST.to_owned(), true), (NUMBERS.to_owned(), true)]);
}

#[tokio::test]
async fn what_was_published_is_forgotten_by_the_age_of_the_last_and_not_while_it_is_needed() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    keep(&pool, NUMBERS, 1, 4).await;
    until_idle(&mut relay(&database, &kafka, "test", any())).await;
    let age = async |which: &'static str, interval: &'static str| {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE messaging.published SET published_at = now() - interval '{interval}'
             WHERE outbox_id {which}"
        )))
        .execute(&pool)
        .await
        .unwrap();
    };
    let purge = async |n_max| {
        let mut conn = pool.acquire().await.unwrap();
        published::purge(&mut conn, Duration::from_hours(24), n_max).await.unwrap()
    };
    // The broker was unavailable for two days: it may have lost messages published before.
    age("> 0", "50 hours").await;
    age("<= 3", "70 hours").await;
    assert_eq!(purge(100).await, 0);
    age("> 9", "1 minute").await;
    pool.execute(
        "INSERT INTO messaging.log_loss (topic, partition, up_to, ends_at, again_until)
         VALUES ('numbers', 0, 1, 0, 12)",
    )
    .await
    .unwrap();
    assert_eq!(purge(100).await, 0, "they are being published again");
    pool.execute("UPDATE messaging.log_loss SET ended_at = now()").await.unwrap();
    assert_eq!(purge(2).await, 2);
    assert_eq!(purge(100).await, 7);
    age("> 0", "8 days").await;
    assert_eq!(purge(100).await, 3, "however quiet it is, no longer than the topic would");
}
