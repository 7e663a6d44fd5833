//! What the topics say when they are read from their beginning: is anything missing, and did first
//! occurrences keep their order?
//!
//! A topic is read when the position has passed its high watermark: behind the last message there may
//! be control records, or messages of a transaction that was aborted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use devstack::Limit;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
    metadata::MetadataTopic,
};
use shared::{
    contract::{self, Cleanup},
    kafka,
    lag::{Group, TopicPartition},
};

/// Within this, the broker has to answer, or the next message has to come.
const STEP_LIMIT: Duration = Duration::from_mins(2);

/// One wait for a message.
const POLL: Duration = Duration::from_millis(200);

/// The name under which the broker is asked. Nothing is committed.
const GROUP: &str = "sagactl-audit";

/// Partitions that are named when they cannot be read, at most.
const LEFT_MAX: usize = 5;

/// One question to the broker may take this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Everything that was said, by who said it and about what.
#[derive(Debug, Default)]
pub struct Said {
    /// Messages on all topics, repeats included.
    pub messages: u64,
    /// Messages that stand there more than once, counted once for each repeat.
    pub repeats: u64,
    /// Messages per topic, without the prefix.
    pub by_topic: BTreeMap<String, u64>,
    sequences: HashMap<(String, String), Vec<i64>>,
    /// Of whom something stands on a topic that forgets older messages of a key.
    forgotten: HashSet<(String, String)>,
    lanes: HashMap<(String, String), i64>,
    faults: Vec<String>,
}

/// Reads every topic of the deployment, up to its end.
pub fn read(broker: &kafka::Settings) -> anyhow::Result<Said> {
    read_within(broker, STEP_LIMIT)
}

/// The same, given up when nothing comes for so long.
pub fn read_within(broker: &kafka::Settings, step_limit: Duration) -> anyhow::Result<Said> {
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .context("no consumer")?;
    let mut group = Group::new(broker, GROUP)?;
    let mut limit = Limit::new("the broker says where its topics end", step_limit, POLL);
    let mut ends = loop {
        match assign(&consumer, &mut group, broker) {
            Ok(ends) => break ends,
            Err(error) => {
                limit.looked(format!("{error:#}"))?;
                // Nothing is assigned yet: this is only a pause in which the client tends its affairs.
                drop(consumer.poll(POLL));
            }
        }
    };
    let mut said = Said::default();
    let mut limit = Limit::new("the topics are read to their end", step_limit, POLL);
    while !ends.is_empty() {
        let message = match consumer.poll(POLL) {
            Some(Ok(message)) => message,
            // The client recovers by itself: what a broker's restart leaves behind is no end.
            Some(Err(error)) if consumer.client().fatal_error().is_some() => {
                return Err(error).context("a topic cannot be read");
            }
            None | Some(Err(_)) => {
                pass_positions(&consumer, broker, &mut ends)?;
                let seen = limit.looked((said.messages, ends.len()));
                seen.with_context(|| hidden(&mut group, &ends))?;
                continue;
            }
        };
        let at = TopicPartition {
            topic: broker.strip(message.topic()).into(),
            partition: message.partition(),
        };
        said.take(&at.topic, &message);
        if ends.get(&at).is_some_and(|end| message.offset() + 1 >= *end) {
            ends.remove(&at);
        }
    }
    Ok(said)
}

/// Where each partition that is not read to its end ends.
type Ends = BTreeMap<TopicPartition, i64>;

/// Starts reading every partition that holds something; answers where each ends now.
fn assign(
    consumer: &BaseConsumer,
    group: &mut Group,
    broker: &kafka::Settings,
) -> anyhow::Result<Ends> {
    let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT);
    let metadata = metadata.context("the broker is out of reach")?;
    let all = metadata.topics().iter().map(MetadataTopic::name);
    // Dead-letter topics carry copies; the service's own topics carry what it said.
    let own =
        |it: &&str| it.starts_with(&broker.prefix) && !it.starts_with("__") && !is_dead_letters(it);
    let topics: Vec<Arc<str>> = all.filter(own).map(|it| broker.strip(it).into()).collect();
    let mut partitions = TopicPartitionList::new();
    let mut ends = Ends::new();
    for (at, standing) in group.look(&topics)?.0 {
        if standing.end > standing.start {
            let name = broker.topic(&at.topic);
            partitions.add_partition_offset(&name, at.partition, Offset::Beginning)?;
            ends.insert(at, standing.end);
        }
    }
    consumer.assign(&partitions)?;
    Ok(ends)
}

/// Takes those off whose position has passed the end, which no message tells.
fn pass_positions(
    consumer: &BaseConsumer,
    broker: &kafka::Settings,
    ends: &mut Ends,
) -> anyhow::Result<()> {
    for element in consumer.position()?.elements() {
        let at = TopicPartition {
            topic: broker.strip(element.topic()).into(),
            partition: element.partition(),
        };
        if let (Offset::Offset(next), Some(end)) = (element.offset(), ends.get(&at))
            && next >= *end
        {
            ends.remove(&at);
        }
    }
    Ok(())
}

/// What is left, and whether an open transaction hides it.
fn hidden(group: &mut Group, ends: &Ends) -> String {
    let mut topics: Vec<Arc<str>> = ends.keys().map(|it| Arc::clone(&it.topic)).collect();
    topics.dedup();
    // Where nothing moves from one look to the next, the last stable offset is asked, too.
    let look = group.look(&topics).and_then(|_| group.look(&topics)).unwrap_or_default();
    let mut left = Vec::new();
    for (at, end) in ends {
        let hidden = look.0.get(at).map_or(0, shared::lag::Standing::hidden);
        left.push(match hidden {
            0 => format!("{at} is not read up to offset {end}"),
            _ => format!("an open transaction hides the last {hidden} offsets of {at}"),
        });
    }
    left.truncate(LEFT_MAX);
    left.join(", ")
}

fn is_dead_letters(topic: &str) -> bool {
    topic.rsplit_once('.').is_some_and(|(_, kind)| kind == "dlq")
}

/// Whether only the last message of each key is kept on this topic.
fn forgets(topic: &str) -> bool {
    contract::TOPICS.iter().any(|it| it.name == topic && it.cleanup == Cleanup::Compact)
}

impl Said {
    fn take(&mut self, topic: &str, message: &rdkafka::message::BorrowedMessage<'_>) {
        let header = |name: &str| {
            let headers = message.headers()?;
            let found = headers.iter().find(|it| it.key == name)?;
            Some(String::from_utf8_lossy(found.value?).into_owned())
        };
        self.messages += 1;
        *self.by_topic.entry(topic.to_owned()).or_default() += 1;
        let (Some(source), Some(subject), Some(sequence)) =
            (header("ce_source"), header("ce_subject"), header("ce_sequence"))
        else {
            // Somebody else's message: a test's poison.
            return;
        };
        let Ok(sequence) = sequence.parse::<i64>() else { return };
        if forgets(topic) {
            self.forgotten.insert((source.clone(), subject.clone()));
        }
        let sequences = self.sequences.entry((source, subject.clone())).or_default();
        if sequences.contains(&sequence) {
            self.repeats += 1;
            return;
        }
        sequences.push(sequence);
        let last = self.lanes.entry((topic.to_owned(), subject)).or_default();
        if sequence < *last {
            self.faults.push(format!("{topic}: {sequence} stands behind {last} of the same key"));
        }
        *last = sequence.max(*last);
    }

    /// What is wrong with what was said: numbers that are missing, first occurrences out of order.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (of @ (source, subject), sequences) in &self.sequences {
            if self.forgotten.contains(of) {
                continue;
            }
            let highest = sequences.iter().max().copied().unwrap_or_default();
            let n = i64::try_from(sequences.len()).unwrap_or(i64::MAX);
            if n != highest {
                faults.push(format!("{source} {subject}: {n} messages, numbered up to {highest}"));
            }
        }
        faults
    }
}
