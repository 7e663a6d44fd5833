//! The Kafka side of a consumer: gathering, holding back, storing offsets.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use rdkafka::{
    Message as _, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};
use tokio::time::Instant;

use super::{
    Error, Limits,
    callbacks::{Assignment, Context},
    offsets::Offsets,
    read_errors::{Position, ReadErrors},
};
use crate::{
    kafka,
    message::{Headers, Incoming},
};

/// How a consumer reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the broker is.
    pub kafka: kafka::Settings,
    /// Messages in a batch, at most.
    pub batch_messages_max: usize,
    /// Bytes of bodies, keys and headers in a batch, at which gathering ends.
    pub batch_bytes_max: usize,
    /// How many messages may die before the consumer stops.
    pub limits: Limits,
}

impl Settings {
    /// The defaults of this house.
    pub fn new(kafka: kafka::Settings) -> Self {
        Self {
            kafka,
            batch_messages_max: 1_000,
            batch_bytes_max: 8 * 1024 * 1024,
            limits: Limits::default(),
        }
    }
}

/// A wait for messages ends after this long at the latest: the client can lose a wake-up.
const POLL_LIMIT: Duration = Duration::from_secs(1);

/// Leaving the group may take this long; a broker that is away is not waited for.
const CLOSE_LIMIT: Duration = Duration::from_millis(2_500);

/// A membership in a group.
pub struct Log {
    consumer: StreamConsumer<Context>,
    assignment: Arc<Assignment>,
    offsets: Arc<Offsets>,
    settings: Settings,
    /// What a new assignment delivered while an older batch was held back.
    early: Gathered,
    errors: Mutex<ReadErrors>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("assignment", &self.assignment).finish_non_exhaustive()
    }
}

/// Messages that were gathered under one assignment.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// In the order of each partition.
    pub messages: Vec<Incoming>,
    generation: u64,
}

impl Log {
    /// Joins `group` and reads `topics`.
    pub fn subscribe(settings: &Settings, group: &str, topics: &[&str]) -> Result<Self, Error> {
        let assignment = Arc::new(Assignment::default());
        let offsets = Arc::new(Offsets::new(group, &settings.kafka));
        let context =
            Context { assignment: Arc::clone(&assignment), offsets: Arc::clone(&offsets) };
        let mut config = settings.kafka.member(group);
        // What happens to offsets is told in such lines; whether one is logged is decided where it is heard.
        config.set("debug", "topic").set_log_level(RDKafkaLogLevel::Debug);
        let consumer: StreamConsumer<Context> =
            config.create_with_context(context).map_err(Error::Client)?;
        let topics: Vec<String> = topics.iter().map(|it| settings.kafka.topic(it)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(Error::Client)?;
        let errors = ReadErrors::new(group, topics.iter().map(|it| (*it).to_owned()).collect());
        let (settings, early) = (settings.clone(), Gathered::default());
        Ok(Self { consumer, assignment, offsets, settings, early, errors: Mutex::new(errors) })
    }

    /// What keeps this member from reading, if anything: it waits for the group, or an error of the
    /// client repeats.
    pub fn obstacle(&self) -> Option<String> {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let assigned = self.assignment.topics.lock().unwrap_or_else(PoisonError::into_inner).take();
        let now = std::time::Instant::now();
        if let Some(topics) = assigned {
            errors.assigned(&topics);
        }
        let joining = || "the group has not said yet which partitions to read".to_owned();
        let joined = self.assignment.joined.load(Ordering::SeqCst);
        errors.standing(now).or_else(|| (!joined).then(joining))
    }

    /// Waits a moment for a message, then takes whatever else is there, up to the limits.
    pub async fn gather(&mut self) -> Result<Gathered, Error> {
        self.seek_what_was_made_anew()?;
        let mut batch = std::mem::take(&mut self.early);
        let mut bytes = 0;
        while batch.messages.len() < self.settings.batch_messages_max
            && bytes < self.settings.batch_bytes_max
        {
            let received = if batch.messages.is_empty() {
                tokio::time::timeout(POLL_LIMIT, self.consumer.recv()).await.ok()
            } else {
                self.consumer.recv().now_or_never()
            };
            let Some(received) = received else { break };
            let Some(incoming) = self.read(received)? else { break };
            bytes += weight(&incoming);
            self.add(&mut batch, Some(incoming));
        }
        self.add(&mut batch, None);
        Ok(batch)
    }

    /// Has topics that were made anew read from their start.
    fn seek_what_was_made_anew(&self) -> Result<(), Error> {
        for topic in self.offsets.made_anew() {
            let assigned = self.consumer.assignment().map_err(Error::Client)?;
            let partitions: Vec<i32> = assigned
                .elements_for_topic(&topic)
                .iter()
                .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
                .collect();
            // Not at once: the client does it in the background.
            let seek = |it: &i32| {
                self.consumer.seek(&topic, *it, rdkafka::Offset::Beginning, Duration::ZERO)
            };
            match partitions.iter().try_for_each(seek) {
                Ok(()) => self.offsets.begins_anew(&topic, &partitions),
                Err(error) => {
                    tracing::debug!(%error, "a topic made anew is read from its start later");
                }
            }
        }
        Ok(())
    }

    /// Adds a message. If partitions went away since the batch was begun, what came before is not
    /// ours any more: whoever has them now reads it again.
    fn add(&self, batch: &mut Gathered, incoming: Option<Incoming>) {
        if batch.generation != self.generation() {
            batch.generation = self.generation();
            batch.messages.clear();
        }
        batch.messages.extend(incoming);
    }

    /// Waits out `delay` with the partitions paused, polling all the while so that the group keeps
    /// this member. Answers whether the batch is still ours.
    pub async fn hold(&mut self, batch: &Gathered, delay: Duration) -> Result<bool, Error> {
        let until = Instant::now() + delay;
        let assigned = self.consumer.assignment().map_err(Error::Client)?;
        self.consumer.pause(&assigned).map_err(Error::Client)?;
        while batch.generation == self.generation() {
            let limit = until.min(Instant::now() + POLL_LIMIT);
            let received = tokio::time::timeout_at(limit, self.consumer.recv()).await;
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
        let assigned = self.consumer.assignment().map_err(Error::Client)?;
        self.consumer.resume(&assigned).map_err(Error::Client)?;
        Ok(batch.generation == self.generation())
    }

    /// Marks the first `upto` of the batch as taken in. Does nothing for a batch that is not ours any more: whoever has
    /// its partitions reads it again, and the inbox knows it.
    pub fn store(&self, batch: &Gathered, upto: usize) -> Result<(), Error> {
        if batch.generation != self.generation() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for incoming in batch.messages.iter().take(upto) {
            let topic = self.settings.kafka.topic(&incoming.topic);
            // Unlike `store_offset`, the list form wants the offset of the next message.
            let next = rdkafka::Offset::Offset(incoming.offset + 1);
            if let Some(mut known) = offsets.find_partition(&topic, incoming.partition) {
                known.set_offset(next).map_err(Error::Client)?;
            } else {
                offsets
                    .add_partition_offset(&topic, incoming.partition, next)
                    .map_err(Error::Client)?;
            }
        }
        self.keep(&offsets)
    }

    /// Stores the position of everything that was read, when no batch is being processed any more. That is up
    /// to the position: control records and messages of aborted transactions are passed as well, which
    /// are never delivered, and without which no log that others write to is ever read to its end.
    pub fn store_position(&self, taken_in: &Gathered) -> Result<(), Error> {
        if taken_in.generation != self.generation() || !self.early.messages.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for element in self.consumer.position().map_err(Error::Client)?.elements() {
            // Of a partition of which nothing was read since it was assigned there is none, and that of
            // one that was reset is of before.
            if let rdkafka::Offset::Offset(_) = element.offset()
                && !self.offsets.is_reset_since(element.topic(), element.partition())
            {
                let (topic, partition, next) =
                    (element.topic(), element.partition(), element.offset());
                offsets.add_partition_offset(topic, partition, next).map_err(Error::Client)?;
            }
        }
        if offsets.count() == 0 { Ok(()) } else { self.keep(&offsets) }
    }

    /// Has the client commit these offsets in the background.
    fn keep(&self, offsets: &TopicPartitionList) -> Result<(), Error> {
        match self.consumer.store_offsets(offsets) {
            Ok(()) => (),
            // Lost between the check and the call: the member that has the partitions reads it again.
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => return Ok(()),
            Err(error) => return Err(Error::Client(error)),
        }
        let back = self.offsets.backwards(offsets).map_err(Error::Client)?;
        if back.count() > 0 {
            self.consumer.commit(&back, CommitMode::Async).map_err(Error::Client)?;
        }
        Ok(())
    }

    /// Commits what is stored and leaves the group, within a limit: the client can hang in its
    /// drop when the broker is away, so that happens on a thread nobody waits for longer.
    pub async fn close(self) {
        let (closed, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            if let Err(error) = self.consumer.commit_consumer_state(CommitMode::Sync) {
                tracing::debug!(%error, "offsets were not committed; the inbox knows the repeats");
            }
            drop(self.consumer);
            closed.send(()).ok();
        });
        if tokio::time::timeout(CLOSE_LIMIT, told).await.is_err() {
            tracing::warn!("the group could not be left in time; the broker will notice by itself");
        }
    }

    fn generation(&self) -> u64 {
        self.assignment.generation.load(Ordering::SeqCst)
    }

    /// The client recovers by itself from every error that is not fatal: keep polling. What repeats
    /// is told.
    fn read(
        &self,
        received: Result<BorrowedMessage<'_>, KafkaError>,
    ) -> Result<Option<Incoming>, Error> {
        let now = std::time::Instant::now();
        let error = match received {
            Ok(message) => {
                let (topic, offset) = (message.topic(), message.offset());
                self.offsets.note_read(topic, message.partition(), offset);
                let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
                errors.read(topic, message.partition(), offset);
                return Ok(Some(self.detach(&message)));
            }
            Err(error) => error,
        };
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || self.consumer.client().fatal_error().is_some();
        if fatal {
            return Err(Error::Fatal(error));
        }
        let said = std::mem::take(
            &mut *self.assignment.said.lock().unwrap_or_else(PoisonError::into_inner),
        );
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let said = if said.is_empty() { error.to_string() } else { said };
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.note((code, &said), now, || self.positions());
        Ok(None)
    }

    /// Which message each partition is read from next, of those from which one was read since they
    /// were assigned.
    fn positions(&self) -> Vec<Position> {
        let known = |list: TopicPartitionList| {
            let offset = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                let rdkafka::Offset::Offset(offset) = it.offset() else { return None };
                Some(Position { topic: it.topic().to_owned(), partition: it.partition(), offset })
            };
            list.elements().iter().filter_map(offset).collect::<Vec<_>>()
        };
        self.consumer.position().map(known).unwrap_or_default()
    }

    fn detach(&self, message: &BorrowedMessage<'_>) -> Incoming {
        let mut headers = Headers::default();
        for header in message.headers().iter().flat_map(|it| it.iter()) {
            headers.push_raw(header.key, header.value);
        }
        Incoming {
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

/// What a message weighs in memory: its headers may be larger than its body.
fn weight(incoming: &Incoming) -> usize {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = incoming.headers.iter().map(|(name, value)| name.len() + of(value));
    of(incoming.payload.as_deref()) + of(incoming.key.as_deref()) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_told_the_limit_that_batches_are_held_to() {
        let settings = kafka::Settings {
            brokers: "broker:9092".to_owned(),
            prefix: String::new(),
            client_id: "a-test".to_owned(),
            security: kafka::Security::default().into(),
            member: None,
        };
        let limit = kafka::POLL_INTERVAL_MAX.as_millis().to_string();
        assert_eq!(settings.member("a-group").get("max.poll.interval.ms"), Some(&*limit));
    }
}
