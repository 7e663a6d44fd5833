//! Gaps and falls in message numbers are counted, and only once the batch is committed.

use std::sync::{Arc, atomic::AtomicU32};

use shared::{
    dead_letter::RetryDeadMessage as _,
    message::{IncomingMessage, OutgoingMessage},
    sequence::{FALLS, REPEATS, SequenceWatch},
    telemetry::{self, MetricsHandle},
};

use crate::{
    dead_letters::{because, only},
    kit::{Tally, database, incoming, number, parts},
};

fn metrics() -> MetricsHandle {
    telemetry::init(telemetry::LogFormat::Pretty, "warn").unwrap()
}

/// The value of a topic's counter; none if it is not shown.
fn counted(name: &str, topic: &str) -> Option<u64> {
    let line = format!("{name}{{service=\"tally\",topic=\"{topic}\"}} ");
    let rendered = metrics().render();
    rendered.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok())
}

fn batch(messages: &[&OutgoingMessage]) -> Vec<IncomingMessage> {
    (0..).zip(messages).map(|(offset, message)| incoming(message, offset)).collect()
}

#[tokio::test]
async fn the_counters_of_a_topic_are_there_before_anything_is_counted() {
    metrics();
    SequenceWatch::announce("tally", &["announced"]);
    assert_eq!((counted(FALLS, "announced"), counted(REPEATS, "announced")), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_message_behind_a_later_one_falls_and_a_message_read_again_repeats() {
    metrics();
    let topic = "falling";
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let [first, second, third] = [1, 2, 3].map(|n| number(topic, "a", n, 1));
    parts.process_batch(&batch(&[&first, &third])).await.unwrap();
    assert_eq!((counted(FALLS, topic), counted(REPEATS, topic)), (None, None));
    parts.process_batch(&batch(&[&first, &second])).await.unwrap();
    assert_eq!((counted(FALLS, topic), counted(REPEATS, topic)), (Some(1), Some(1)));
    // From the beginning: the whole sequence is known.
    parts.process_batch(&batch(&[&first, &third, &second])).await.unwrap();
    assert_eq!((counted(FALLS, topic), counted(REPEATS, topic)), (Some(1), Some(4)));
}

#[tokio::test]
async fn what_is_rolled_back_or_refused_is_compared_with_nothing() {
    metrics();
    let topic = "undone";
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally { outages: Arc::new(AtomicU32::new(1)) });
    let [first, outage, second] =
        [(1, 1), (3, 99), (2, 1)].map(|(n, value)| number(topic, "a", n, value));
    parts.process_batch(&batch(&[&first, &outage])).await.unwrap_err();
    let refused = number(topic, "a", 4, -1);
    parts.process_batch(&batch(&[&first, &second, &refused])).await.unwrap();
    parts.discard(only(&pool).await.id, &because()).await.unwrap();
    parts.process_batch(&batch(&[&outage])).await.unwrap();
    assert_eq!(counted(FALLS, topic), None);
}
