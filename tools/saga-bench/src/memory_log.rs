//! A log in memory: what the relays of this process publish is what its consumers read.
//!
//! **Invariant:** messages reach readers in an order that does not depend on timing: each publisher
//! keeps its own, and [`MemoryPublisher::take`] is called for one publisher after the other.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    message::IncomingMessage,
    outbox::OutboxRow,
    published::{OffsetsByPartition, TopicPartition},
    relay::{MessagePublisher, PublishResult},
};

/// Partitions of each topic, as the contract makes them.
const PARTITIONS: usize = 6;

/// Takes messages for one service, and counts them.
#[derive(Clone, Debug, Default)]
pub struct MemoryPublisher(Arc<Mutex<PublisherState>>);

#[derive(Debug, Default)]
struct PublisherState {
    totals: PublishTotals,
    unread: Vec<IncomingMessage>,
    offsets: OffsetsByPartition,
    ends: BTreeMap<TopicPartition, i64>,
    /// The partition of each key: keys take turns, so that two runs spread alike.
    partitions: HashMap<Vec<u8>, usize>,
}

/// What a publisher has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishTotals {
    /// Calls of `publish`: with one broker, each is one produce request or more.
    pub batches: u64,
    /// Messages of all batches.
    pub messages: u64,
    /// Their keys, headers and bodies.
    pub bytes: u64,
}

impl MemoryPublisher {
    /// The messages that were published since the last call, in their order.
    pub fn take(&self) -> Vec<IncomingMessage> {
        std::mem::take(&mut self.state().unread)
    }

    /// What was published so far.
    pub fn totals(&self) -> PublishTotals {
        self.state().totals
    }

    fn state(&self) -> MutexGuard<'_, PublisherState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PublisherState {
    fn keep(&mut self, row: &OutboxRow) {
        let message = &row.message;
        let key = message.key.clone().unwrap_or_default();
        let next = self.partitions.len() % PARTITIONS;
        let partition = i32::try_from(*self.partitions.entry(key).or_insert(next)).unwrap_or(0);
        let place = (message.topic.to_string(), partition);
        let end = self.ends.entry(place.clone()).or_default();
        let offset = *end;
        *end += 1;
        self.offsets.add(place, offset);
        self.totals.messages += 1;
        self.totals.bytes += message.bytes() as u64;
        self.unread.push(IncomingMessage {
            topic: message.topic.to_string(),
            partition,
            offset,
            timestamp_ms: None,
            key: message.key.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
        });
    }
}

impl MessagePublisher for MemoryPublisher {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        let mut state = self.state();
        state.totals.batches += 1;
        for row in messages {
            state.keep(row);
        }
        vec![PublishResult::Confirmed; messages.len()]
    }

    fn offsets(&mut self) -> OffsetsByPartition {
        std::mem::take(&mut self.state().offsets)
    }
}

/// The topics that one service reads, and what waits for it there.
#[derive(Debug, Default)]
pub struct TopicReader {
    topics: Vec<&'static str>,
    waiting: VecDeque<IncomingMessage>,
}

impl TopicReader {
    /// A reader of these topics, at their ends.
    pub fn of(topics: Vec<&'static str>) -> Self {
        Self { topics, waiting: VecDeque::new() }
    }

    /// Keeps those of these messages that are on its topics.
    pub fn hear(&mut self, messages: &[IncomingMessage]) {
        let heard = |message: &&IncomingMessage| self.topics.contains(&message.topic.as_str());
        self.waiting.extend(messages.iter().filter(heard).cloned());
    }

    /// Takes all messages that wait.
    pub fn take(&mut self) -> Vec<IncomingMessage> {
        std::mem::take(&mut self.waiting).into()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
