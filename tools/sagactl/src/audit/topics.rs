//! Every message on the topics, from their beginning, as facts about the orders they name.
//!
//! A topic is read when the position has passed its high watermark: behind the last message there may be
//! control records, or messages of a transaction that was aborted. A second call reads what has been
//! published since.
//!
//! **Bound:** one message at a time; counts per topic.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _},
    metadata::MetadataTopic,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::{
    kafka,
    lag::{GroupProbe, PartitionStanding, TopicPartition},
};
use uuid::Uuid;

use super::{
    fact::{FactStatement, MessageFact, OrderFact, topic_place},
    stillness::StillCount,
};
use crate::service_name::ServiceName;

/// One wait for a message.
const POLL: Duration = Duration::from_millis(200);

/// The consumer group of the audit; it commits no offsets.
const GROUP: &str = "sagactl-audit";

/// Partitions that are named when they cannot be read, at most.
const LEFT_MAX: usize = 5;

/// One question to the broker may take this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Counts of the messages on the topics.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TopicTotals {
    /// Messages on all topics, repeats included.
    pub messages: u64,
    /// Messages that are there more than once, counted once for each repeat.
    pub repeats: u64,
    /// Messages per topic, without the prefix.
    pub by_topic: BTreeMap<String, u64>,
}

/// Reads all topics of a deployment. Its methods block.
pub struct TopicReader {
    broker: kafka::KafkaSettings,
    consumer: BaseConsumer,
    group: GroupProbe,
    still_max: Duration,
    /// Up to where each partition was read by earlier calls.
    read: EndOffsets,
    totals: TopicTotals,
}

impl std::fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicReader").field("read", &self.read).finish_non_exhaustive()
    }
}

/// An offset of each partition.
type EndOffsets = BTreeMap<TopicPartition, i64>;

impl TopicReader {
    /// A reader that gives up when nothing comes for so long.
    pub fn new(broker: &kafka::KafkaSettings, still_max: Duration) -> anyhow::Result<Self> {
        let consumer = broker
            .client()
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .create()
            .context("no consumer")?;
        let group = GroupProbe::new(broker, GROUP)?;
        let (read, totals) = (EndOffsets::new(), TopicTotals::default());
        Ok(Self { broker: broker.clone(), consumer, group, still_max, read, totals })
    }

    /// Counts of the messages read so far.
    pub fn totals(&self) -> &TopicTotals {
        &self.totals
    }

    /// Reads from where the last call ended up to where the topics end now.
    pub(super) fn read(
        &mut self,
        mut take: impl FnMut(OrderFact) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut stillness = StillCount::new(self.still_max, POLL);
        let ends = loop {
            match self.assign() {
                Ok(ends) => break ends,
                Err(error) => {
                    let seen = format!("{error:#}");
                    anyhow::ensure!(!stillness.lasts(&seen), "{seen}");
                    // Nothing is assigned yet: this is a pause in which the client does its work.
                    drop(self.consumer.poll(POLL));
                }
            }
        };
        let mut left = ends.clone();
        let mut stillness = StillCount::new(self.still_max, POLL);
        while !left.is_empty() {
            let message = match self.consumer.poll(POLL) {
                Some(Ok(message)) => message,
                // The client recovers by itself: an error after a broker's restart is no end.
                Some(Err(error)) if self.consumer.client().fatal_error().is_some() => {
                    return Err(error).context("a topic cannot be read");
                }
                None | Some(Err(_)) => {
                    self.pass_positions(&mut left)?;
                    if stillness.lasts(&(self.totals.messages, left.len())) {
                        anyhow::bail!(hidden(&mut self.group, &left));
                    }
                    continue;
                }
            };
            let topic = self.broker.strip(message.topic());
            let at = TopicPartition { topic: topic.into(), partition: message.partition() };
            let is_last = left.get(&at).is_some_and(|end| message.offset() + 1 >= *end);
            // Messages behind the end are left to the next call.
            if left.contains_key(&at) {
                self.totals.messages += 1;
                *self.totals.by_topic.entry(topic.to_owned()).or_default() += 1;
                if let Some(fact) = fact(topic, &message) {
                    take(fact)?;
                }
            }
            if is_last {
                left.remove(&at);
            }
        }
        self.read.extend(ends);
        Ok(())
    }

    /// Starts reading every partition that holds something new; answers where each ends now.
    fn assign(&mut self) -> anyhow::Result<EndOffsets> {
        let metadata = self.consumer.fetch_metadata(None, ANSWER_LIMIT);
        let metadata = metadata.context("the broker is out of reach")?;
        let all = metadata.topics().iter().map(MetadataTopic::name);
        // Dead-letter topics carry copies; the services' own topics carry what they published.
        let own = |topic: &&str| {
            topic.starts_with(&self.broker.prefix)
                && !topic.starts_with("__")
                && !is_dead_letters(topic)
        };
        let topics: Vec<Arc<str>> =
            all.filter(own).map(|topic| self.broker.strip(topic).into()).collect();
        let mut partitions = TopicPartitionList::new();
        let mut ends = EndOffsets::new();
        for (at, standing) in self.group.look(&topics)?.0 {
            let from = self.read.get(&at).copied().unwrap_or(standing.start).max(standing.start);
            if standing.end > from {
                let name = self.broker.topic(&at.topic);
                partitions.add_partition_offset(&name, at.partition, Offset::Offset(from))?;
                ends.insert(at, standing.end);
            }
        }
        self.consumer.assign(&partitions)?;
        Ok(ends)
    }

    /// Takes those off whose position has passed the end, which no message tells.
    fn pass_positions(&self, left: &mut EndOffsets) -> anyhow::Result<()> {
        for element in self.consumer.position()?.elements() {
            let topic = self.broker.strip(element.topic()).into();
            let at = TopicPartition { topic, partition: element.partition() };
            if let (Offset::Offset(next), Some(end)) = (element.offset(), left.get(&at))
                && next >= *end
            {
                left.remove(&at);
            }
        }
        Ok(())
    }

    /// One more repeat was found.
    pub(super) fn count_repeats(&mut self, repeats: u64) {
        self.totals.repeats += repeats;
    }
}

/// Partitions with unread messages, and whether an open transaction hides these.
fn hidden(group: &mut GroupProbe, left: &EndOffsets) -> String {
    let mut topics: Vec<Arc<str>> = left.keys().map(|at| Arc::clone(&at.topic)).collect();
    topics.dedup();
    // Where nothing moves from one look to the next, the last stable offset is asked, too.
    let look = group.look(&topics).and_then(|_| group.look(&topics)).unwrap_or_default();
    let mut named = Vec::new();
    for (at, end) in left.iter().take(LEFT_MAX) {
        let hidden = look.0.get(at).map_or(0, PartitionStanding::hidden);
        named.push(match hidden {
            0 => format!("{at} is not read up to offset {end}"),
            _ => format!("an open transaction hides the last {hidden} offsets of {at}"),
        });
    }
    named.join(", ")
}

fn is_dead_letters(topic: &str) -> bool {
    topic.rsplit_once('.').is_some_and(|(_, kind)| kind == "dlq")
}

/// What a message states; nothing, if another producer has written it.
fn fact(topic: &str, message: &BorrowedMessage<'_>) -> Option<OrderFact> {
    let headers = message.headers()?;
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    };
    let source = ServiceName::of_source(header("ce_source")?)?;
    let sequence = header("ce_sequence")?.parse().ok()?;
    let message = MessageFact {
        source,
        sequence,
        topic: topic_place(topic)?,
        partition: message.partition().into(),
        offset: message.offset(),
    };
    Some(OrderFact::new(key(header("ce_subject")?), FactStatement::Message(message)))
}

/// The order that a subject names; of a product, a number that is as good as its name.
fn key(subject: &str) -> Uuid {
    subject.parse().unwrap_or_else(|_no_order| {
        let hash = Sha256::digest(subject);
        Uuid::from_slice(&hash[..16]).unwrap_or_default()
    })
}
