//! A topic that is deleted and recreated begins at offset 0: an offset alone identifies no message.

use devstack::TestWait;
use shared::{
    consumer::{BatchCounts, ConsumerSettings, ConsumerStep, GroupConsumer},
    dead_letter::{Resolution, RetryDeadMessage as _},
    health::ProcessHealth,
    kafka,
    lag::GroupProbe,
    message::{IncomingMessage, MessageHeaders, OutgoingMessage},
    telemetry,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::{by, open, process_batch, repair, unreadable},
    kit::{
        NUMBERS, Tally, begin_anew, broker, create_topics, database, incoming, number, parts,
        publish, totals, value,
    },
};

/// A message of a foreign producer: no part of its envelope can be read.
fn foreign(body: &str) -> OutgoingMessage {
    let mut message = number(NUMBERS, "a", 1, 1);
    message.headers = MessageHeaders::default();
    message.payload = Some(body.as_bytes().to_vec());
    message
}

fn at(message: &OutgoingMessage, offset: i64, timestamp_ms: i64) -> IncomingMessage {
    IncomingMessage { timestamp_ms: Some(timestamp_ms), ..incoming(message, offset) }
}

async fn letters(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.dead_letter").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn another_bad_message_at_the_same_offset_is_a_second_dead_letter_and_the_same_one_is_not() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let first = at(&foreign("x"), 0, 1_000);
    let others = [
        // Sent again with the same bytes, and later.
        at(&foreign("x"), 0, 2_000),
        at(&foreign("y"), 0, 1_000),
        IncomingMessage { key: None, ..first.clone() },
        IncomingMessage { payload: None, ..first.clone() },
    ];
    assert_eq!(process_batch(&parts, std::slice::from_ref(&first)).await.dead, 1);
    for (other, n) in others.iter().zip(2..) {
        assert_eq!(process_batch(&parts, std::slice::from_ref(other)).await.dead, 1, "{other:?}");
        assert_eq!(letters(&pool).await, n);
    }
    let again = process_batch(&parts, &[&[first], &others[..]].concat()).await;
    assert_eq!(again, BatchCounts { repeats: 5, ..BatchCounts::default() });
    assert_eq!(letters(&pool).await, 5);
}

#[tokio::test]
async fn each_bad_message_of_a_topic_that_began_anew_has_a_letter_and_the_others_are_processed() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    process_batch(&parts, &[at(&unreadable("a", 1), 7, 1_000)]).await;
    // The same offsets, and lower ones, belong to other messages now.
    let anew = [
        at(&number(NUMBERS, "a", 3, 4), 0, 2_000),
        at(&unreadable("a", 4), 7, 2_001),
        at(&number(NUMBERS, "a", 5, 8), 8, 2_002),
    ];
    let taken = process_batch(&parts, &anew).await;
    assert_eq!(taken, BatchCounts { fresh: 2, dead: 1, repeats: 0 });
    let again = process_batch(&parts, &anew).await;
    assert_eq!(again, BatchCounts { repeats: 3, ..BatchCounts::default() });
    repair(&pool, "1").await;
    for letter in open(&pool).await {
        assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::Settled);
    }
    assert_eq!(totals(&pool).await["a"], 14);
}

/// Reads from the log until there are this many letters.
async fn consume(pool: &PgPool, kafka: &kafka::KafkaSettings, n: i64) {
    let settings = ConsumerSettings::new(kafka.clone());
    let health = ProcessHealth::default().component("consumer");
    let mut consumer =
        GroupConsumer::new(parts(pool, Tally::default()), &settings, health).unwrap();
    let (stop, mut patience) = (CancellationToken::new(), TestWait::until("bad messages are kept"));
    while letters(pool).await < n {
        let did = consumer.step(&stop).await.unwrap();
        if let ConsumerStep::Processed(taken) = did {
            assert_eq!(taken.repeats, 0, "nothing is read twice here");
        }
        patience.looked((did, letters(pool).await));
    }
}

#[tokio::test]
async fn a_bad_message_of_a_topic_that_was_deleted_and_created_again_is_kept_too() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[foreign("x")]).await;
    consume(&pool, &kafka, 1).await;
    begin_anew(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[foreign("x")]).await;
    consume(&pool, &kafka, 2).await;
    let offsets: Vec<i64> = sqlx::query_scalar("SELECT \"offset\" FROM messaging.dead_letter")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(offsets, [0, 0]);
}

#[tokio::test]
async fn a_consumer_that_runs_reads_a_topic_that_was_deleted_and_created_again_from_its_start() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[foreign("x")]).await;
    let settings = ConsumerSettings::new(kafka.clone());
    let health = ProcessHealth::default().component("consumer");
    let mut consumer =
        GroupConsumer::new(parts(&pool, Tally::default()), &settings, health).unwrap();
    let stop = CancellationToken::new();
    let mut until_kept = async |n| {
        let mut patience = TestWait::until("bad messages are kept");
        while letters(&pool).await < n {
            let did = consumer.step(&stop).await.unwrap();
            patience.looked((did, letters(&pool).await));
        }
    };
    until_kept(1).await;
    // As many as before: the offsets alone show nothing new.
    begin_anew(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[foreign("y")]).await;
    until_kept(2).await;
}

/// The offsets that the group has committed, if the broker reports them.
fn committed(group: &mut GroupProbe) -> Option<Vec<i64>> {
    let look = tokio::task::block_in_place(|| group.look(&[NUMBERS.into()])).ok()?;
    Some(look.0.values().filter_map(|standing| standing.committed).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_in_a_topic_of_before_is_not_committed_in_the_one_that_was_made_anew() {
    let resets = || value("consumer_offset_resets_total{service=\"tally\",topic=\"numbers\"}");
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[foreign("x")]).await;
    let settings = ConsumerSettings::new(kafka.clone());
    let health = ProcessHealth::default().component("consumer");
    let mut consumer =
        GroupConsumer::new(parts(&pool, Tally::default()), &settings, health).unwrap();
    let stop = CancellationToken::new();
    let mut patience = TestWait::until("the bad message is kept");
    while letters(&pool).await < 1 {
        patience.looked(consumer.step(&stop).await.unwrap());
    }
    let mut group = GroupProbe::new(&kafka, "tally").unwrap();
    // The client commits its stored offsets each second, whatever happened to the topic.
    let mut patience = TestWait::until("its offset is committed");
    while committed(&mut group) != Some(vec![1]) {
        patience.looked(consumer.step(&stop).await.unwrap());
    }
    begin_anew(&kafka, &[NUMBERS], 1).await;
    let before = resets();
    let mut patience = TestWait::until("the consumer begins anew");
    while resets() <= before {
        patience.looked(consumer.step(&stop).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(consumer.step(&stop).await.unwrap(), ConsumerStep::Idle);
    }
    let mut patience = TestWait::until("the broker answers");
    let committed = loop {
        match committed(&mut group) {
            Some(committed) => break committed,
            None => patience.look_again("no answer").await,
        }
    };
    assert_eq!(committed, [0; 0], "the next member would begin there");
}
