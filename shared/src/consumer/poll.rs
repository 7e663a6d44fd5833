//! The Kafka side of a consumer: polling, pausing, storing offsets.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};
use tokio::time::Instant;

use super::{
    ConsumerError, FailureLimits,
    client::GroupMember,
    read_errors::{ReadErrors, ReadPosition},
    stall_watch::StallWatch,
};
use crate::{
    batch_wait::{BatchWait, WaitLimits},
    kafka,
    lag::{GroupLag, TopicPartition},
    message::{IncomingMessage, MessageHeaders},
};

/// Settings of a consumer's reading.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Where the broker is.
    pub kafka: kafka::KafkaSettings,
    /// Messages in a batch, at most.
    pub batch_messages_max: usize,
    /// Bytes of bodies, keys and headers in a batch; a batch of this size is complete.
    pub batch_bytes_max: usize,
    /// The limits of dead letters at which the consumer stops.
    pub limits: FailureLimits,
    /// The group is joined again when a partition makes no progress for this long although there
    /// are messages to read and the client delivers none.
    pub stall_limit: Duration,
}

impl ConsumerSettings {
    /// The default settings of this system.
    pub fn new(kafka: kafka::KafkaSettings) -> Self {
        Self {
            kafka,
            batch_messages_max: 1_000,
            batch_bytes_max: 8 * 1024 * 1024,
            limits: FailureLimits::default(),
            // Longer than a commit with two lag samples takes, and than a rebalance takes.
            stall_limit: Duration::from_secs(30),
        }
    }
}

/// A wait for messages ends after this long at the latest: the client can lose a wake-up.
const POLL_LIMIT: Duration = Duration::from_secs(1);

/// When a batch of messages waits for more. The rate is higher than elsewhere, because a command
/// leads to several messages for one service.
const WAIT_LIMITS: WaitLimits =
    WaitLimits { lonely_rate: 250.0, longest: Duration::from_millis(8) };

/// While messages come without a pause, the positions of all partitions are stored this often.
const POSITION_PERIOD: Duration = Duration::from_secs(1);

/// A membership in a group.
pub(crate) struct PartitionReader {
    pub(super) client: GroupMember,
    pub(super) settings: ConsumerSettings,
    pub(super) group: String,
    /// The topics by their names on the broker.
    pub(super) topics: Vec<String>,
    /// Messages that a new assignment delivered while an older batch was held back.
    early: GatheredBatch,
    pub(super) errors: Mutex<ReadErrors>,
    pub(super) stall_watch: StallWatch,
    waits: BatchWait,
    positions_stored: Instant,
}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("assignment", &self.client.assignment).finish_non_exhaustive()
    }
}

/// Messages that were gathered under one assignment.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatheredBatch {
    /// Ordered by offset within each partition.
    pub messages: Vec<IncomingMessage>,
    /// The number of the assignment under which they were gathered, as this member counts.
    pub generation: u64,
}

impl PartitionReader {
    /// Joins `group` and reads `topics`.
    pub(crate) fn subscribe(
        settings: &ConsumerSettings,
        group: &str,
        topics: &[&str],
    ) -> Result<Self, ConsumerError> {
        let topics: Vec<String> = topics.iter().map(|text| settings.kafka.topic(text)).collect();
        let client = GroupMember::new(&settings.kafka, group, 0)?;
        client.join(&topics)?;
        Ok(Self {
            client,
            settings: settings.clone(),
            group: group.to_owned(),
            early: GatheredBatch::default(),
            errors: Mutex::new(ReadErrors::new(group, topics.clone())),
            stall_watch: StallWatch::new(settings.stall_limit, Instant::now()),
            waits: BatchWait::within(WAIT_LIMITS),
            positions_stored: Instant::now(),
            topics,
        })
    }

    /// Watches this lag of its group, and joins the group again when the lag makes no progress.
    pub(crate) fn watch(&mut self, lag: GroupLag) {
        self.stall_watch.watch(lag);
    }

    /// The reason why this member cannot read, if any: it waits for the group, an error of the
    /// client repeats, or the group makes no progress.
    pub(crate) fn obstacle(&self) -> Option<String> {
        let standing = {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            errors.standing(std::time::Instant::now())
        };
        let joining = || "the group has not said yet which partitions to read".to_owned();
        let joining = (!self.client.has_joined()).then(joining);
        standing.or_else(|| self.stall()).or(joining)
    }

    /// Waits briefly for a message, then takes all further available messages, up to the limits;
    /// under load also those that come within the [wait](BatchWait).
    pub(crate) async fn gather(&mut self) -> Result<GatheredBatch, ConsumerError> {
        self.recover().await?;
        let mut batch = std::mem::take(&mut self.early);
        let (mut bytes, mut waited) = (0, false);
        while batch.messages.len() < self.settings.batch_messages_max
            && bytes < self.settings.batch_bytes_max
        {
            let received = if batch.messages.is_empty() {
                tokio::time::timeout(POLL_LIMIT, self.client.consumer.recv()).await.ok()
            } else {
                self.client.consumer.recv().now_or_never()
            };
            let Some(received) = received else {
                let wait = self.waits.wait(std::time::Instant::now());
                if batch.messages.is_empty() || waited || wait.is_zero() {
                    break;
                }
                // Not for each message anew: one wake-up for all that come meanwhile.
                tokio::time::sleep(wait).await;
                waited = true;
                continue;
            };
            let Some(incoming) = self.read(received)? else { break };
            bytes += weight(&incoming);
            self.add(&mut batch, Some(incoming));
        }
        self.add(&mut batch, None);
        self.waits.note(batch.messages.len(), std::time::Instant::now());
        self.stall_watch.set_idle(batch.messages.is_empty());
        if let Some(topics) = self.client.new_topics() {
            self.stall_watch.begin_anew(Instant::now());
            self.errors.lock().unwrap_or_else(PoisonError::into_inner).assigned(&topics);
        }
        Ok(batch)
    }

    /// Adds a message. If partitions were revoked since the batch was begun, earlier messages are
    /// no longer ours: the member that has their partitions now reads them again.
    fn add(&self, batch: &mut GatheredBatch, incoming: Option<IncomingMessage>) {
        if batch.generation != self.generation() {
            batch.generation = self.generation();
            batch.messages.clear();
        }
        batch.messages.extend(incoming);
    }

    /// Waits for `delay` with the partitions paused and keeps polling, so that the group keeps this
    /// member. Answers whether the batch still belongs to this member.
    pub(crate) async fn hold(
        &mut self,
        generation: u64,
        delay: Duration,
    ) -> Result<bool, ConsumerError> {
        let until = Instant::now() + delay;
        let assigned = self.client.consumer.assignment().map_err(ConsumerError::Client)?;
        self.client.consumer.pause(&assigned).map_err(ConsumerError::Client)?;
        while generation == self.generation() {
            let limit = until.min(Instant::now() + POLL_LIMIT);
            let received = tokio::time::timeout_at(limit, self.client.consumer.recv()).await;
            if let Ok(received) = received
                && let Some(incoming) = self.read(received)?
            {
                let mut early = std::mem::take(&mut self.early);
                self.add(&mut early, Some(incoming));
                self.early = early;
            }
            if Instant::now() >= until {
                break;
            }
        }
        let assigned = self.client.consumer.assignment().map_err(ConsumerError::Client)?;
        self.client.consumer.resume(&assigned).map_err(ConsumerError::Client)?;
        self.stall_watch.begin_anew(Instant::now());
        Ok(generation == self.generation())
    }

    /// Stores the offsets of messages that were processed. Does nothing if they were gathered under
    /// an older assignment: the member that has their partitions now reads them again, and the inbox
    /// knows them.
    pub(crate) fn store<'m>(
        &mut self,
        generation: u64,
        processed: impl Iterator<Item = &'m IncomingMessage>,
    ) -> Result<(), ConsumerError> {
        if generation != self.generation() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for incoming in processed {
            let topic = self.settings.kafka.topic(&incoming.topic);
            // Unlike `store_offset`, the list form expects the offset of the next message.
            let next = rdkafka::Offset::Offset(incoming.offset + 1);
            if let Some(mut known) = offsets.find_partition(&topic, incoming.partition) {
                known.set_offset(next).map_err(ConsumerError::Client)?;
            } else {
                offsets
                    .add_partition_offset(&topic, incoming.partition, next)
                    .map_err(ConsumerError::Client)?;
            }
        }
        let now = Instant::now();
        for stored in offsets.elements() {
            let topic = Arc::from(self.settings.kafka.strip(stored.topic()));
            let at = TopicPartition { topic, partition: stored.partition() };
            self.stall_watch.has_stored(at, now);
        }
        self.keep(&offsets)
    }

    /// Stores the read position of all partitions, when no batch is being processed. That includes
    /// control records and messages of aborted transactions, which are never delivered, and without
    /// which no log with transactions is ever read to its end.
    pub(crate) fn store_position(&mut self, generation: u64) -> Result<(), ConsumerError> {
        if generation != self.generation() || !self.early.messages.is_empty() {
            return Ok(());
        }
        self.positions_stored = Instant::now();
        let mut offsets = TopicPartitionList::new();
        for element in self.client.consumer.position().map_err(ConsumerError::Client)?.elements() {
            // A partition without a read since its assignment has no position; that of a reset one
            // is old.
            if let rdkafka::Offset::Offset(_) = element.offset()
                && !self.client.offsets.is_reset_since(element.topic(), element.partition())
            {
                let (topic, partition, next) =
                    (element.topic(), element.partition(), element.offset());
                offsets
                    .add_partition_offset(topic, partition, next)
                    .map_err(ConsumerError::Client)?;
            }
        }
        if offsets.count() == 0 { Ok(()) } else { self.keep(&offsets) }
    }

    /// The same after a batch, if it was not done a moment ago: the offsets of the batch's own
    /// messages are stored already, and asking for all partitions costs more than that.
    pub(crate) fn store_position_at_times(&mut self, generation: u64) -> Result<(), ConsumerError> {
        if self.positions_stored.elapsed() < POSITION_PERIOD {
            return Ok(());
        }
        self.store_position(generation)
    }

    /// Has the client commit these offsets in the background.
    fn keep(&self, offsets: &TopicPartitionList) -> Result<(), ConsumerError> {
        match self.client.consumer.store_offsets(offsets) {
            Ok(()) => (),
            // Revoked between the check and the call: the new member reads the messages again.
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => return Ok(()),
            Err(error) => return Err(ConsumerError::Client(error)),
        }
        let back = self.client.offsets.backwards(offsets).map_err(ConsumerError::Client)?;
        if back.count() > 0 {
            self.client.consumer.commit(&back, CommitMode::Async).map_err(ConsumerError::Client)?;
        }
        Ok(())
    }

    /// Commits the stored offsets and leaves the group, within a limit: the client can hang in its
    /// drop without a broker, so the drop runs on a thread that is not waited for any longer.
    pub(crate) async fn close(self) {
        self.client.close().await;
    }

    fn generation(&self) -> u64 {
        self.client.generation()
    }

    /// The client recovers by itself from every error that is not fatal: keep polling. Repeated
    /// errors are reported.
    fn read(
        &self,
        received: Result<BorrowedMessage<'_>, KafkaError>,
    ) -> Result<Option<IncomingMessage>, ConsumerError> {
        let now = std::time::Instant::now();
        let error = match received {
            Ok(message) => {
                let (topic, offset) = (message.topic(), message.offset());
                self.client.offsets.note_read(topic, message.partition(), offset);
                let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
                errors.read(topic, message.partition(), offset);
                return Ok(Some(self.detach(&message)));
            }
            Err(error) => error,
        };
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || self.client.consumer.client().fatal_error().is_some();
        if fatal {
            return Err(ConsumerError::Fatal(error));
        }
        let said = std::mem::take(
            &mut *self.client.assignment.said.lock().unwrap_or_else(PoisonError::into_inner),
        );
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let said = if said.is_empty() { error.to_string() } else { said };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.note((code, &said), now, || self.positions());
        Ok(None)
    }

    /// The next message to read of each partition, of those from which one was read since they were
    /// assigned.
    fn positions(&self) -> Vec<ReadPosition> {
        let known = |list: TopicPartitionList| {
            let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                let rdkafka::Offset::Offset(offset) = element.offset() else { return None };
                Some(ReadPosition {
                    topic: element.topic().to_owned(),
                    partition: element.partition(),
                    offset,
                })
            };
            list.elements().iter().filter_map(offset).collect::<Vec<_>>()
        };
        self.client.consumer.position().map(known).unwrap_or_default()
    }

    fn detach(&self, message: &BorrowedMessage<'_>) -> IncomingMessage {
        let mut headers = MessageHeaders::default();
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            headers.push_raw(header.key, header.value);
        }
        IncomingMessage {
            topic: self.settings.kafka.strip(message.topic()).to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            headers,
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }
}

/// The memory size of a message: its headers may be larger than its body.
fn weight(incoming: &IncomingMessage) -> usize {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = incoming.headers.iter().map(|(name, value)| name.len() + of(value));
    of(incoming.payload.as_deref()) + of(incoming.key.as_deref()) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_told_the_limit_that_batches_are_held_to() {
        let settings = kafka::KafkaSettings {
            brokers: "broker:9092".to_owned(),
            prefix: String::new(),
            client_id: "a-test".to_owned(),
            security: kafka::ConnectionSecurity::default().into(),
            member: None,
        };
        let limit = kafka::POLL_INTERVAL_MAX.as_millis().to_string();
        assert_eq!(settings.member("a-group").get("max.poll.interval.ms"), Some(&*limit));
    }
}
