//! What the topics say when they are read from their beginning: is anything missing, and did first
//! occurrences keep their order?

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use anyhow::Context as _;
use devstack::Limit;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
};
use shared::{
    contract::{self, Cleanup},
    kafka,
};

/// Within this, the broker has to answer, or the next message has to come.
const STEP_LIMIT: Duration = Duration::from_mins(2);

/// One wait for a message.
const POLL: Duration = Duration::from_millis(200);

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
    let prefix = broker.prefix.as_str();
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "sagactl-audit")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .context("no consumer")?;
    let mut limit = Limit::new("the broker says where its topics end", STEP_LIMIT, POLL);
    let mut ends = loop {
        match assign(&consumer, prefix) {
            Ok(ends) => break ends,
            Err(error) => {
                limit.looked(format!("{error:#}"))?;
                // Nothing is assigned yet: this is only a pause in which the client tends its affairs.
                drop(consumer.poll(POLL));
            }
        }
    };
    let mut said = Said::default();
    let mut limit = Limit::new("the topics are read to their end", STEP_LIMIT, POLL);
    while !ends.is_empty() {
        let message = match consumer.poll(POLL) {
            Some(Ok(message)) => message,
            // The client recovers by itself: what a broker's restart leaves behind is no end.
            Some(Err(error)) if consumer.client().fatal_error().is_some() => {
                return Err(error).context("a topic cannot be read");
            }
            None | Some(Err(_)) => {
                limit.looked(said.messages)?;
                continue;
            }
        };
        let place = (message.topic().to_owned(), message.partition());
        said.take(message.topic().trim_start_matches(prefix), &message);
        if ends.get(&place).is_some_and(|end| message.offset() + 1 >= *end) {
            ends.remove(&place);
        }
    }
    Ok(said)
}

/// Starts reading every partition that holds something; answers where each ends now.
fn assign(consumer: &BaseConsumer, prefix: &str) -> anyhow::Result<HashMap<(String, i32), i64>> {
    let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT);
    let metadata = metadata.context("the broker is out of reach")?;
    let mut partitions = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for topic in metadata.topics() {
        // Dead-letter topics carry copies; the service's own topics carry what it said.
        let name = topic.name();
        if !name.starts_with(prefix) || name.starts_with("__") || is_dead_letters(name) {
            continue;
        }
        for partition in topic.partitions() {
            let (low, high) =
                consumer.fetch_watermarks(topic.name(), partition.id(), ANSWER_LIMIT)?;
            if high > low {
                partitions.add_partition_offset(topic.name(), partition.id(), Offset::Beginning)?;
                ends.insert((topic.name().to_owned(), partition.id()), high);
            }
        }
    }
    consumer.assign(&partitions)?;
    Ok(ends)
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
