//! Reads the ends of orders and their notifications from the topics, by a consumer that belongs to no group
//! and commits nothing.
//!
//! Each partition is assigned from where it ended before the first order is placed, so nothing of the load is
//! missed and nothing from before is read. A moment is when the message came here.

use std::{
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use contract::{NOTIFICATION_FAILED, NOTIFICATION_SENT, ORDER_CANCELLED, ORDER_CONFIRMED};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::BorrowedMessage,
    metadata::{MetadataPartition, MetadataTopic},
};
use shared::kafka::KafkaSettings;
use uuid::Uuid;

use super::tracker::{OrderTracker, SeenEvent};

/// The topics that are read.
const TOPICS: [&str; 4] =
    [ORDER_CONFIRMED, ORDER_CANCELLED, NOTIFICATION_SENT, NOTIFICATION_FAILED];

/// One wait for a message.
const POLL: Duration = Duration::from_millis(100);

/// One question to the broker may take this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Reasons of cancellations that are told apart; others are not named.
const REASONS: [&str; 5] =
    ["out-of-stock", "payment-declined", "payment-unavailable", "timed-out", "requested"];

/// Reads until it is dropped.
#[derive(Debug)]
pub struct EndReader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EndReader {
    /// Starts to read what comes from now on.
    pub async fn start(broker: &KafkaSettings, tracker: &OrderTracker) -> anyhow::Result<Self> {
        let (broker, tracker) = (broker.clone(), tracker.clone());
        let starting = tokio::task::spawn_blocking(move || {
            let consumer = assigned(&broker)?;
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let thread = thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    // The client recovers by itself from errors, and a run without ends fails.
                    if let Some(Ok(message)) = consumer.poll(POLL)
                        && let Some((id, event)) = read(&broker, &message)
                    {
                        tracker.seen(id, event);
                    }
                }
            });
            anyhow::Ok(Self { stop, thread: Some(thread) })
        });
        starting.await?
    }
}

impl Drop for EndReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A reader that has panicked has told of it already.
        self.thread.take().map(JoinHandle::join);
    }
}

/// A consumer of all partitions from where each ends now.
fn assigned(broker: &KafkaSettings) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = broker
        .client()
        // A name is asked for, and no group is joined.
        .set("group.id", format!("{}xtask-load", broker.prefix))
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .context("no consumer")?;
    let mut partitions = TopicPartitionList::new();
    for topic in TOPICS.map(|topic| broker.topic(topic)) {
        let metadata = consumer
            .fetch_metadata(Some(&topic), ANSWER_LIMIT)
            .with_context(|| format!("the broker at {} is out of reach", broker.brokers))?;
        let known = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let ids: Vec<i32> = known.map(MetadataPartition::id).collect();
        anyhow::ensure!(
            !ids.is_empty(),
            "the broker at {} has no topic {topic}: does the system run there, and is the prefix right?",
            broker.brokers
        );
        for id in ids {
            let (_, end) = consumer
                .fetch_watermarks(&topic, id, ANSWER_LIMIT)
                .with_context(|| format!("the end of {topic} is not known"))?;
            partitions.add_partition_offset(&topic, id, Offset::Offset(end))?;
        }
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// What a message says, and of which order.
fn read(broker: &KafkaSettings, message: &BorrowedMessage<'_>) -> Option<(Uuid, SeenEvent)> {
    let id = Uuid::from_str(std::str::from_utf8(message.key()?).ok()?).ok()?;
    let event = match broker.strip(message.topic()) {
        ORDER_CONFIRMED => SeenEvent::Confirmed,
        ORDER_CANCELLED => SeenEvent::Cancelled(reason(message.payload().unwrap_or_default())),
        NOTIFICATION_SENT => SeenEvent::Notified,
        NOTIFICATION_FAILED => SeenEvent::Unnotified,
        _other => return None,
    };
    Some((id, event))
}

/// Why an order was cancelled: the second text of the record, behind the order's id. The schema is not
/// looked up: a record of another form has no reason here, and the order is cancelled all the same.
fn reason(body: &[u8]) -> &'static str {
    let text = || {
        // A zero byte and the schema's id.
        let (_, rest) = text(body.get(5..)?)?;
        let (reason, _) = text(rest)?;
        REASONS.into_iter().find(|known| known.as_bytes() == reason)
    };
    text().unwrap_or_default()
}

/// Takes a text off: its length, below 64, as a zigzag number of one byte, and its bytes.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    if length % 2 == 1 || *length >= 128 {
        return None;
    }
    rest.split_at_checked(usize::from(length / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_read_behind_the_id_of_the_order() {
        let mut body = vec![0, 0, 0, 0, 7, 72];
        body.extend(Uuid::nil().to_string().as_bytes());
        assert_eq!(reason(&body), "");
        body.push(18);
        body.extend(b"requested\x0ccustomer");
        assert_eq!(reason(&body), "requested");
        for end in 0..body.len() {
            let cut = reason(&body[..end]);
            assert!(["", "requested"].contains(&cut), "{cut}");
        }
        assert_eq!(reason(&[255; 100]), "");
    }
}
