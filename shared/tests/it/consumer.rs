//! The consumer: each message has one effect; a poison one is dead, the others are processed.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use devstack::TestWait;
use shared::{
    consumer::{BatchCounts, ConsumerSettings, ConsumerStep, GroupConsumer},
    db, dead_letter,
    fault::Fault,
    health::{HealthComponent, ProcessHealth},
    message::{IncomingMessage, OutgoingMessage},
    outbox,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::kit::{
    NUMBERS, Tally, broker, create_topics, database, dead, incoming, number, parts, publish, totals,
};

fn batch(messages: &[OutgoingMessage]) -> Vec<IncomingMessage> {
    (0..).zip(messages).map(|(offset, message)| incoming(message, offset)).collect()
}

async fn said(pool: &PgPool, topic: &str) -> usize {
    let mut conn = pool.acquire().await.unwrap();
    let kept = outbox::head(&mut conn, 10_000).await.unwrap();
    kept.iter().filter(|row| row.message.topic == topic).count()
}

#[tokio::test]
async fn a_batch_that_is_read_again_has_no_second_effect() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch = batch(&[number(NUMBERS, "a", 1, 1), number(NUMBERS, "a", 2, 2)]);
    let first = parts.process_batch(&batch).await.unwrap();
    assert_eq!(first, BatchCounts { fresh: 2, ..BatchCounts::default() });
    let again = parts.process_batch(&batch).await.unwrap();
    assert_eq!(again, BatchCounts { repeats: 2, ..BatchCounts::default() });
    assert_eq!(totals(&pool).await["a"], 3);
    assert_eq!(said(&pool, "sums").await, 1);
}

#[tokio::test]
async fn each_kind_of_poison_is_dead_with_its_reason_and_the_others_go_on() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let good = number(NUMBERS, "a", 1, 1);
    let mut no_id = incoming(&number(NUMBERS, "b", 1, 1), 1);
    no_id.headers = shared::message::MessageHeaders::default();
    let mut no_number = number(NUMBERS, "c", 1, 1);
    no_number.payload = Some(b"one".to_vec());
    let negative = number(NUMBERS, "d", 1, -1);
    let mut reused_id = good.clone();
    reused_id.payload = Some(b"100".to_vec());
    let mut other_key = incoming(&number(NUMBERS, "e", 1, 1), 5);
    other_key.key = Some(b"f".to_vec());
    let batch = vec![
        incoming(&good, 0),
        no_id,
        incoming(&no_number, 2),
        incoming(&negative, 3),
        incoming(&reused_id, 4),
        other_key,
        incoming(&number(NUMBERS, "g", 1, 5), 6),
    ];
    let taken = parts.process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 2, dead: 5, ..BatchCounts::default() });
    assert_eq!(totals(&pool).await.into_values().sum::<i64>(), 6);
    let expected = [
        ("envelope", "header ce_id is missing"),
        ("body", "not a number"),
        ("contradiction", "it is negative"),
        ("reused-id", "its ce_id was used before, for another message"),
        ("envelope", "its key is not its ce_subject"),
    ];
    let dead = dead(&pool).await;
    assert_eq!(dead.iter().map(|(r, d)| (r.as_str(), d.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(said(&pool, "tally.dlq").await, 5);
    parts.process_batch(&batch).await.unwrap();
    assert_eq!(said(&pool, "tally.dlq").await, 5, "a letter that is read again is kept once");
}

#[tokio::test]
async fn a_message_that_panics_or_breaks_a_constraint_is_isolated() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch = batch(&[
        number(NUMBERS, "a", 1, 1),
        number(NUMBERS, "b", 1, 13),
        number(NUMBERS, "c", 1, 7),
        number(NUMBERS, "d", 1, 2),
    ]);
    let taken = parts.process_or_isolate(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 2, dead: 2, ..BatchCounts::default() });
    let totals = totals(&pool).await;
    assert_eq!((totals["a"], totals["d"], totals.len()), (1, 2, 2));
    let reasons: Vec<_> = dead(&pool).await.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["unprocessable", "unprocessable"]);
}

#[tokio::test]
async fn an_outage_is_no_reason_to_die() {
    // The messages before an unreadable one are processed, and then it is tried again.
    for (struck, outages) in [(98, 2), (99, 1)] {
        let (pool, _) = database().await;
        let outages = Arc::new(AtomicU32::new(outages));
        let parts = parts(&pool, Tally { outages });
        let batch = batch(&[number(NUMBERS, "a", 1, 1), number(NUMBERS, "a", 2, struck)]);
        let fault = parts.process_or_isolate(&batch).await.unwrap_err();
        assert!(matches!(fault, Fault::Transient(_)), "{struck}");
        assert!(dead(&pool).await.is_empty(), "{struck}");
        let before = totals(&pool).await.get("a").copied();
        assert_eq!(before, (struck == 98).then_some(1), "{struck}");
        parts.process_or_isolate(&batch).await.unwrap();
        assert_eq!(totals(&pool).await["a"], 1 + struck);
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_the_bytes_as_they_came_however_large() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let mut large = incoming(&number(NUMBERS, "a", 1, 1), 0);
    large.payload = Some(vec![0xff; outbox::MESSAGE_BYTES_MAX]);
    large.headers.push_raw("odd", Some(&[0, 0xff]));
    parts.process_batch(std::slice::from_ref(&large)).await.unwrap();
    let (payload, headers): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT payload, headers FROM messaging.dead_letter")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(Some(payload), large.payload);
    assert_eq!(headers, large.headers.to_bytes());
    assert_eq!(said(&pool, "tally.dlq").await, 1);
}

#[tokio::test]
async fn a_dead_letter_is_undone_with_its_transaction() {
    let (pool, _) = database().await;
    let message = incoming(&number(NUMBERS, "a", 1, 1), 0);
    let letter = dead_letter::DeadLetter {
        incoming: &message,
        reason: dead_letter::FailureReason::Body,
        detail: "a reason with a \0 in it".to_owned(),
    };
    let mut tx = db::begin(&pool).await.unwrap();
    let clock = shared::clock::Clock::System;
    let copies = dead_letter::keep(&mut tx, "tally", &clock, &[letter]).await.unwrap();
    assert_eq!(copies.len(), 1);
    drop(tx);
    assert!(dead(&pool).await.is_empty());
}

fn component() -> HealthComponent {
    ProcessHealth::default().component("consumer")
}

/// Runs consumers until `pool`'s tally has all numbers, then stops them; returns the time taken.
async fn consume_until(pool: &PgPool, consumers: Vec<GroupConsumer<Tally>>, sum: i64) -> Duration {
    let stop = CancellationToken::new();
    let running = consumers.into_iter().map(|group_consumer| group_consumer.run(stop.clone()));
    let watching = async {
        let mut patience = TestWait::until("all numbers are processed");
        loop {
            let totals = totals(pool).await;
            if totals.values().sum::<i64>() >= sum {
                break;
            }
            patience.look_again(totals).await;
        }
        stop.cancel();
        Instant::now()
    };
    let (ended, told_at) = tokio::join!(futures_util::future::join_all(running), watching);
    for outcome in ended {
        outcome.unwrap();
    }
    told_at.elapsed()
}

/// The broker regards a member as dead after ten seconds without a heartbeat, and a stop gives up
/// committing its offsets after two and a half.
const UNHEARD: Duration = Duration::from_secs(8);
const SLOW_STOP: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_consumer_reads_from_the_beginning_and_goes_on_where_it_stopped() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 3).await;
    let some = |n: i64| -> Vec<_> {
        (1..=n).map(|n| number(NUMBERS, &(n % 5).to_string(), n, 1)).collect()
    };
    let consumer = || {
        let settings = ConsumerSettings::new(kafka.clone());
        GroupConsumer::new(parts(&pool, Tally::default()), &settings, component()).unwrap()
    };
    let mut patience = TestWait::until("a stop after which nothing is read again");
    for round in 1.. {
        publish(&kafka, &some(50)).await;
        let began = Instant::now();
        let stopping = consume_until(&pool, vec![consumer()], round * 55 - 5).await;
        let first = began.elapsed();
        publish(&kafka, &some(5)).await;
        let began = Instant::now();
        let (fresh, repeats) = process_with(consumer(), 5).await;
        assert_eq!(fresh, 5);
        if repeats == 0 {
            return;
        }
        // On a machine that was suspended the result proves nothing: then it is repeated.
        let stood_still = stopping > SLOW_STOP || first.max(began.elapsed()) > UNHEARD;
        assert!(stood_still, "{repeats} repeats: what the first one stopped at was not committed");
        patience.looked("the machine stood still");
    }
}

/// Steps until `n` new messages are processed; answers how many were new and how many repeats.
async fn process_with(mut consumer: GroupConsumer<Tally>, n: usize) -> (usize, usize) {
    let stop = CancellationToken::new();
    let (mut fresh, mut repeats) = (0, 0);
    let mut patience = TestWait::until(&format!("{n} new messages are processed"));
    while fresh < n {
        if let ConsumerStep::Processed(taken) = consumer.step(&stop).await.unwrap() {
            fresh += taken.fresh;
            repeats += taken.repeats;
        }
        patience.looked((fresh, repeats));
    }
    stop.cancel();
    Box::pin(consumer.run(stop)).await.unwrap();
    (fresh, repeats)
}

#[tokio::test]
async fn a_held_batch_is_tried_again_until_the_outage_is_over() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 99), number(NUMBERS, "b", 1, 1)]).await;
    let outages = Arc::new(AtomicU32::new(3));
    let parts = parts(&pool, Tally { outages: Arc::clone(&outages) });
    let consumer = GroupConsumer::new(parts, &ConsumerSettings::new(kafka), component()).unwrap();
    consume_until(&pool, vec![consumer], 100).await;
    assert!(dead(&pool).await.is_empty());
    assert_eq!(outages.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn members_that_come_and_go_process_each_message_once() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 6).await;
    let numbers: Vec<_> = (1..=600).map(|n| number(NUMBERS, &(n % 60).to_string(), n, 1)).collect();
    let mut settings = ConsumerSettings::new(kafka.clone());
    settings.batch_messages_max = 7;
    let member =
        || GroupConsumer::new(parts(&pool, Tally::default()), &settings, component()).unwrap();
    publish(&kafka, &numbers[..300]).await;
    consume_until(&pool, vec![member()], 100).await;
    publish(&kafka, &numbers[300..]).await;
    consume_until(&pool, vec![member(), member()], 400).await;
    consume_until(&pool, vec![member(), member(), member()], 600).await;
    assert_eq!(totals(&pool).await.values().sum::<i64>(), 600);
    let taken: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messaging.inbox").fetch_one(&pool).await.unwrap();
    assert_eq!(taken, 600);
}
