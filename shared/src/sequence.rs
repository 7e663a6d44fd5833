//! Counts repeats and messages out of order, by their sequence numbers (`ce_sequence`).
//!
//! A subject's messages are numbered by their source, over all topics of that source. So a reader
//! of one topic sees numbers rise, with gaps where the others are on another topic. A missing
//! number is found by `sagactl audit`, which compares with the messages that each source has sent.
//!
//! | counter | counts | must stay 0 |
//! | --- | --- | --- |
//! | [`REPEATS`] | messages that were processed before | no: a crash repeats, and that is harmless |
//! | [`FALLS`] | first occurrences whose number is not above an earlier one of the same topic, source and subject | yes |
//!
//! A [`SequenceWatch`] remembers only what it has read since it was started, of at least the last
//! 65,536 ordering keys (an ordering key is topic, source and subject). So it never counts wrongly:
//! the number that it compares with was processed and committed before. A `Watch` does not see a
//! fall across a restart, a rebalance, or that many other ordering keys. `sagactl audit`, which
//! reads the topics from their beginning, sees such falls.
//!
//! **Architecture invariant:** only committed messages are noted, and only first occurrences are
//! compared. A batch that is rolled back and read again, by any instance, counts nothing.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use crate::message::{Message, TraceContext};

/// Messages read again, by service and topic.
pub const REPEATS: &str = "sequence_repeats_total";
/// Messages read behind a later one, by service and topic.
pub const FALLS: &str = "sequence_falls_total";

/// Ordering keys that are remembered in each of two generations: some megabytes at most.
const GENERATION_MAX: usize = 65_536;

/// The highest number of each ordering key. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct SequenceWatch(Arc<Mutex<SequenceMemory>>);

impl SequenceWatch {
    /// Shows the counters of these topics at 0, before anything is counted.
    pub fn announce(service: &'static str, topics: &[&'static str]) {
        for topic in topics {
            for name in [REPEATS, FALLS] {
                metrics::counter!(name, "service" => service, "topic" => *topic).increment(0);
            }
        }
    }

    /// Notes what was committed: first occurrences in the order in which they were read, and what
    /// had been processed before.
    pub fn note<'m>(
        &self,
        service: &'static str,
        fresh: impl IntoIterator<Item = &'m Message>,
        repeats: impl IntoIterator<Item = &'m Message>,
    ) {
        for message in repeats {
            count(REPEATS, service, message);
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in fresh {
            if !memory.rises(message) {
                count(FALLS, service, message);
                tracing::error!(
                    topic = message.incoming.topic,
                    partition = message.incoming.partition,
                    offset = message.incoming.offset,
                    sequence = message.envelope.sequence,
                    trace_id = message.envelope.trace.as_ref().map(TraceContext::trace_id),
                    "a message stands behind a later one of its subject"
                );
            }
        }
    }
}

fn count(name: &'static str, service: &'static str, message: &Message) {
    let topic = message.incoming.topic.clone();
    metrics::counter!(name, "service" => service, "topic" => topic).increment(1);
}

/// Two generations: when the young one is full it becomes the old one. The previous old one, which
/// holds only keys without a message meanwhile, is dropped.
#[derive(Debug, Default)]
struct SequenceMemory {
    young: HashMap<u128, i64>,
    old: HashMap<u128, i64>,
    hashers: [RandomState; 2],
}

impl SequenceMemory {
    /// Whether the number is above all remembered earlier ones of its ordering key.
    fn rises(&mut self, message: &Message) -> bool {
        let key = self.ordering_key(message);
        let sequence = message.envelope.sequence;
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        if self.young.len() >= GENERATION_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known.map_or(sequence, |n| n.max(sequence)));
        known.is_none_or(|n| sequence > n)
    }

    /// The name of an ordering key is external text of any length: its hash is kept, wide enough
    /// that two are never the same.
    fn ordering_key(&self, message: &Message) -> u128 {
        let envelope = &message.envelope;
        let name = (&message.incoming.topic, &envelope.source, &envelope.subject);
        let [high, low] = self.hashers.each_ref().map(|state| u128::from(state.hash_one(name)));
        high << 64 | low
    }
}

#[cfg(test)]
mod tests;
