//! What the topics say when they are read from their beginning: is anything missing, and did first
//! occurrences keep their order?

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
};
use shared::kafka;

/// A whole reading may take this long.
const READ_LIMIT: Duration = Duration::from_mins(2);

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
    let mut ends = assign(&consumer, prefix)?;
    let mut said = Said::default();
    let until = Instant::now() + READ_LIMIT;
    while !ends.is_empty() {
        anyhow::ensure!(Instant::now() < until, "the topics cannot be read to their end");
        let Some(received) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = match received {
            Ok(message) => message,
            // The client recovers by itself: what a broker's restart leaves behind is no end.
            Err(_) if consumer.client().fatal_error().is_none() => continue,
            Err(error) => return Err(error).context("a topic cannot be read"),
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
    let limit = Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(None, limit).context("the broker is out of reach")?;
    let mut partitions = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for topic in metadata.topics() {
        // Dead-letter topics carry copies; the service's own topics carry what it said.
        let name = topic.name();
        if !name.starts_with(prefix) || name.starts_with("__") || is_dead_letters(name) {
            continue;
        }
        for partition in topic.partitions() {
            let (low, high) = consumer.fetch_watermarks(topic.name(), partition.id(), limit)?;
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
        for ((source, subject), sequences) in &self.sequences {
            let highest = sequences.iter().max().copied().unwrap_or_default();
            let n = i64::try_from(sequences.len()).unwrap_or(i64::MAX);
            if n != highest {
                faults.push(format!("{source} {subject}: {n} messages, numbered up to {highest}"));
            }
        }
        faults
    }
}
