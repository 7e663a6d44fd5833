//! Offsets that go back: resets by the client, and offsets that the client would not commit.
//!
//! The client reports a reset in a log line and nowhere else. The log does not have the offset that
//! was to be read next: retention deleted unread messages, or the topic was recreated.
//!
//! A recreated topic with as many messages as before has that offset, and the client reads on
//! there: earlier messages would never be read. The client reports the change of the topic's id in
//! a debug line of the context `topic`, and nowhere else. The topic's partitions are then read from
//! their start; the inbox recognises repeats.
//!
//! The client itself commits only offsets above the last committed one. After a topic was recreated
//! all offsets are lower, for as long as the partitions stay with this member; so offsets that go
//! back are found here and committed explicitly.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rdkafka::{Offset, TopicPartitionList, error::KafkaResult};

use crate::kafka;

/// Counts resets, by topic.
const RESETS: &str = "consumer_offset_resets_total";

/// Registers the counter before the first reset.
pub(super) fn announce(service: &'static str, topics: &[&'static str]) {
    for topic in topics {
        metrics::counter!(RESETS, "service" => service, "topic" => *topic).increment(0);
    }
}

/// By topic, with the deployment's prefix, and partition.
type ByPartition = BTreeMap<String, BTreeMap<i32, i64>>;

/// The offset state of one member.
#[derive(Debug)]
pub(super) struct MemberOffsets {
    service: String,
    kafka: kafka::KafkaSettings,
    known: Mutex<KnownOffset>,
}

#[derive(Debug, Default)]
struct KnownOffset {
    /// The highest offset that the client may regard as committed.
    highest: ByPartition,
    /// Reset partitions of which nothing was read since, with the requested offset.
    reset: ByPartition,
    /// Topics that were recreated and are not read from their start yet.
    made_anew: BTreeSet<String>,
}

impl MemberOffsets {
    pub(super) fn new(service: &str, kafka: &kafka::KafkaSettings) -> Self {
        Self { service: service.to_owned(), kafka: kafka.clone(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, KnownOffset> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this log line of the client reports a reset, which is then counted and logged.
    pub(super) fn is_reset(&self, line: &str) -> bool {
        let Some((topic, partition, from)) = reset(line) else { return false };
        let mut known = self.known();
        let highest = offset(&mut known.highest, topic, partition);
        *highest = from.max(*highest);
        *offset(&mut known.reset, topic, partition) = from;
        drop(known);
        let topic = self.kafka.strip(topic).to_owned();
        tracing::warn!(
            topic,
            partition,
            from,
            "offset reset: the log does not have what is to be read next, and is read from its start"
        );
        let service = self.service.clone();
        metrics::counter!(RESETS, "service" => service, "topic" => topic).increment(1);
        true
    }

    /// Records a debug line of the client that reports a recreated topic.
    pub(super) fn hear(&self, line: &str) {
        let Some(topic) = other_topic(line) else { return };
        self.known().made_anew.insert(topic.to_owned());
    }

    /// Topics that were recreated since they were read.
    pub(super) fn made_anew(&self) -> BTreeSet<String> {
        self.known().made_anew.clone()
    }

    /// This topic is read from its start, in these partitions.
    pub(super) fn begins_anew(&self, topic: &str, partitions: &[i32]) {
        let mut known = self.known();
        known.made_anew.remove(topic);
        for partition in partitions {
            // The broker's committed offset went with the topic: any later offset is committed.
            *offset(&mut known.highest, topic, *partition) = i64::MAX;
            offset(&mut known.reset, topic, *partition);
        }
        drop(known);
        let topic = self.kafka.strip(topic).to_owned();
        tracing::warn!(topic, ?partitions, "a topic was made anew, and is read from its start");
        let service = self.service.clone();
        metrics::counter!(RESETS, "service" => service, "topic" => topic).increment(1);
    }

    /// Whether the client's position is from before a reset.
    pub(super) fn is_reset_since(&self, topic: &str, partition: i32) -> bool {
        self.known().reset.get(topic).is_some_and(|items| items.contains_key(&partition))
    }

    /// A message was read. If its partition was reset before, this is the new read position.
    pub(super) fn note_read(&self, topic: &str, partition: i32, to: i64) {
        let mut known = self.known();
        if known.reset.is_empty() {
            return;
        }
        let Some(partitions) = known.reset.get_mut(topic) else { return };
        let from = partitions.remove(&partition);
        known.reset.retain(|_, partitions| !partitions.is_empty());
        drop(known);
        if let Some(from) = from {
            let topic = self.kafka.strip(topic);
            tracing::warn!(topic, partition, from, to, "reading goes on after an offset reset");
        }
    }

    /// The stored offsets that go back.
    pub(super) fn backwards(&self, stored: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let mut known = self.known();
        let mut back = TopicPartitionList::new();
        for element in stored.elements() {
            let Offset::Offset(next) = element.offset() else { continue };
            let highest = offset(&mut known.highest, element.topic(), element.partition());
            if next < *highest {
                back.add_partition_offset(element.topic(), element.partition(), element.offset())?;
            }
            *highest = next;
        }
        Ok(back)
    }
}

fn offset<'k>(known: &'k mut ByPartition, topic: &str, partition: i32) -> &'k mut i64 {
    if !known.contains_key(topic) {
        known.insert(topic.to_owned(), BTreeMap::new());
    }
    let partitions = known.get_mut(topic).unwrap_or_else(|| unreachable!("it was just put there"));
    partitions.entry(partition).or_default()
}

/// The topic of a line `… Topic TOPIC changed id from ID to ID`, if both are ids. The client writes
/// an id in base64, and zeros (`AAAA…`) for the id of a topic that it does not know: learning the
/// first id is no change of the topic.
fn other_topic(line: &str) -> Option<&str> {
    let (_, told) = line.split_once("Topic ")?;
    let (topic, ids) = told.split_once(" changed id from ")?;
    let (before, after) = ids.split_once(" to ")?;
    let is_id = |text: &str| text.bytes().any(|byte| byte != b'A' && byte != b'=');
    (is_id(before) && is_id(after)).then_some(topic)
}

/// The topic, partition and offset of a line `… TOPIC [PARTITION]: offset reset (at offset N (…), …) to …`.
fn reset(line: &str) -> Option<(&str, i32, i64)> {
    let (place, at) = line.split_once(": offset reset (at offset ")?;
    let (topic, partition) = place.strip_suffix(']')?.rsplit_once(" [")?;
    let topic = topic.rsplit(' ').next()?;
    Some((topic, partition.parse().ok()?, at.split(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::captured_log::CapturedLog;

    fn offsets() -> MemberOffsets {
        let kafka = kafka::KafkaSettings {
            brokers: String::new(),
            prefix: "x-".to_owned(),
            client_id: "test".to_owned(),
            security: kafka::ConnectionSecurity::default().into(),
            member: None,
        };
        MemberOffsets::new("tally", &kafka)
    }

    #[test]
    fn the_log_says_where_a_reset_happened_from_which_offset_and_where_reading_goes_on() {
        let (offsets, lines) = (offsets(), CapturedLog::default());
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(log.finish(), || {
            assert!(!offsets.is_reset_since("x-numbers", 3));
            assert!(offsets.is_reset("x-numbers [3]: offset reset (at offset 5 (leader epoch 0)"));
            assert!(offsets.is_reset_since("x-numbers", 3));
            offsets.note_read("x-numbers", 2, 1);
            offsets.note_read("x-numbers", 3, 9);
            assert!(!offsets.is_reset_since("x-numbers", 3));
            offsets.note_read("x-numbers", 3, 10);
        });
        let text = lines.text();
        let [reset, goes_on] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let has = |line: &str, parts: &[&str]| parts.iter().all(|part| line.contains(part));
        assert!(has(reset, &["offset reset: ", "topic=\"numbers\" partition=3 from=5"]), "{text}");
        assert!(
            has(goes_on, &["reading goes on", "topic=\"numbers\" partition=3 from=5 to=9"]),
            "{text}"
        );
    }

    #[test]
    fn a_reset_is_read_from_the_clients_line() {
        let line = "[thrd:main]: x-some-topic [3]: offset reset (at offset 5 (leader epoch 0), \
                    broker 1) to offset BEGINNING (leader epoch -1): fetch failed";
        assert_eq!(reset(line), Some(("x-some-topic", 3, 5)));
        assert_eq!(reset("x-some-topic [3]: offset reset (at offset INVALID (leader"), None);
        assert_eq!(reset("[thrd:main]: something else"), None);
    }

    #[test]
    fn a_topic_with_another_id_is_read_from_the_clients_line() {
        let line = |before: &str| {
            format!("[thrd:main]: Topic x-numbers changed id from {before} to Zm9vYmFyYmF6cXV4")
        };
        assert_eq!(other_topic(&line("b3RoZXJzb3RoZXJzMTIzNA")), Some("x-numbers"));
        assert_eq!(other_topic(&line("AAAAAAAAAAAAAAAAAAAAAA")), None, "it had none");
        assert_eq!(other_topic("[thrd:main]: Topic x-numbers [0] Leader 1 Epoch 0"), None);
    }

    #[test]
    fn only_offsets_that_go_back_are_committed_by_hand() {
        let offsets = offsets();
        let back = |next| {
            let mut stored = TopicPartitionList::new();
            stored.add_partition_offset("x-numbers", 3, Offset::Offset(next)).unwrap();
            offsets.backwards(&stored).unwrap().count()
        };
        assert_eq!([back(5), back(5), back(9), back(2), back(2), back(4)], [0, 0, 0, 1, 0, 0]);
        assert!(offsets.is_reset("x-numbers [3]: offset reset (at offset 100 (leader epoch 0)"));
        assert_eq!([back(1), back(2)], [1, 0]);
    }
}
