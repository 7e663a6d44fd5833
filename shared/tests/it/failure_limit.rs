//! The failure limit: too many dead letters stop the consumer, and nothing is lost.

use devstack::{TestWait, until};
use shared::{
    consumer::{ConsumerSettings, ConsumerStep, FailureLimits, GroupConsumer},
    health::ProcessHealth,
    kafka,
    message::OutgoingMessage,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters::unreadable,
    kit::{NUMBERS, Tally, broker, create_topics, database, dead, number, parts, publish, totals},
};

const THREE_IN_A_ROW: FailureLimits = FailureLimits { in_a_row_max: Some(3), share_max: 100 };

/// Ten messages, each with its own key; those from `bad` on cannot be read.
fn messages(bad: std::ops::Range<usize>) -> Vec<OutgoingMessage> {
    let message = |n: usize| {
        let key = n.to_string();
        if bad.contains(&n) { unreadable(&key, 1) } else { number(NUMBERS, &key, 1, 1) }
    };
    (0..10).map(message).collect()
}

/// Steps until the consumer halts, or has processed or dead-lettered `n` messages that were new to
/// it; returns its health.
async fn consume(
    pool: &PgPool,
    kafka: &kafka::KafkaSettings,
    limits: FailureLimits,
    n: usize,
) -> (ConsumerStep, Option<String>) {
    let health = ProcessHealth::default();
    let settings =
        ConsumerSettings { limits, batch_messages_max: 4, ..ConsumerSettings::new(kafka.clone()) };
    let component = health.component("consumer");
    let mut consumer =
        GroupConsumer::new(parts(pool, Tally::default()), &settings, component).unwrap();
    let stop = CancellationToken::new();
    let mut patience = TestWait::until(&format!("{n} messages are processed or dead letters"));
    let mut seen = 0;
    let outcome = loop {
        let did = consumer.step(&stop).await.unwrap();
        if let ConsumerStep::Processed(taken) = did {
            seen += taken.fresh + taken.dead;
        }
        if did == ConsumerStep::Halted || seen >= n {
            break did;
        }
        patience.looked(seen);
    };
    let word = health.report()["consumer"].clone().err();
    stop.cancel();
    Box::pin(consumer.run(stop)).await.unwrap();
    (outcome, word)
}

#[tokio::test]
async fn too_many_in_a_row_stop_the_consumer_before_the_one_too_many_and_a_restart_tries_again() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &messages(2..8)).await;
    let (step, word) = consume(&pool, &kafka, THREE_IN_A_ROW, 10).await;
    assert_eq!(step, ConsumerStep::Halted);
    let expected = "stopped before numbers/0@5: more than 3 dead letters in a row; a restart tries \
                    again from there";
    assert_eq!(word.as_deref(), Some(expected));
    assert_eq!((totals(&pool).await.len(), dead(&pool).await.len()), (2, 3));

    let (step, _) = consume(&pool, &kafka, THREE_IN_A_ROW, 5).await;
    assert_ne!(
        step,
        ConsumerStep::Halted,
        "the other three, and then good ones: not too many in a row"
    );
    assert_eq!((totals(&pool).await.len(), dead(&pool).await.len()), (4, 6));
}

#[tokio::test]
async fn what_it_stood_before_is_processed_once_the_limit_is_lifted() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &messages(0..10)).await;
    for restarts in 1..=3 {
        let (step, _) = consume(&pool, &kafka, THREE_IN_A_ROW, 10).await;
        assert_eq!((step, dead(&pool).await.len()), (ConsumerStep::Halted, 3 * restarts));
    }
    let unlimited = FailureLimits { in_a_row_max: None, share_max: 100 };
    let (step, word) = consume(&pool, &kafka, unlimited, 1).await;
    assert!(matches!(step, ConsumerStep::Processed(_)), "{step:?}");
    assert_eq!((word, dead(&pool).await.len()), (None, 10));
}

#[tokio::test]
async fn a_consumer_that_stands_still_neither_spins_nor_ends_and_stops_when_told() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &messages(0..10)).await;
    let health = ProcessHealth::default();
    let settings =
        ConsumerSettings { limits: THREE_IN_A_ROW, ..ConsumerSettings::new(kafka.clone()) };
    let component = health.component("consumer");
    let consumer =
        GroupConsumer::new(parts(&pool, Tally::default()), &settings, component).unwrap();
    let stop = CancellationToken::new();
    let watch = async {
        let halted = || health.report()["consumer"].as_ref().is_err_and(|text| text.contains("@3"));
        until("the consumer stands still", async || halted()).await;
        // Another member of the same group now gets the partition: this one has left it.
        let unlimited = FailureLimits { in_a_row_max: None, share_max: 100 };
        consume(&pool, &kafka, unlimited, 7).await;
        assert!(halted(), "and it still says so");
        stop.cancel();
    };
    tokio::join!(consumer.run(stop.clone()), watch).0.unwrap();
    assert_eq!(dead(&pool).await.len(), 10);
}
