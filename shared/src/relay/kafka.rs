//! The log in Kafka: an idempotent producer whose every confirmation is counted.
//!
//! The client's settings are in [`crate::kafka`]. Special here: a confirmation without an offset is
//! none (the client infers it from a later one), and after any failure the producer is purged and
//! dropped, because only a new one starts from a known state.
//!
//! One refused record makes the client abort the whole batch (it leaves no gap), so the other
//! messages are unconfirmed: the refusal and its reason are reported per message.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{
        BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
    },
};
use tokio::sync::Notify;

use self::ends::PartitionEnds;
use super::{MessagePublisher, PublishRefusal, PublishResult};
use crate::{
    fault,
    kafka::{self, ClientErrors},
    outbox::OutboxRow,
    published::{OffsetsByPartition, TopicPartition},
    telemetry::messaging,
    topics::{self, ReplicaCount, TopicSpec},
};

/// After this long without any confirmation the producer is dropped; a relay may set another limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// After a first failure, the answers for the others are waited for this long: confirmed messages
/// need not be published again.
const ANSWERS_LIMIT: Duration = Duration::from_millis(250);

/// A topic is recreated within this long, or the attempt is repeated later.
const RESTORE_LIMIT: Duration = Duration::from_secs(3);

/// Publishes batches with an idempotent producer.
pub struct KafkaPublisher {
    settings: kafka::KafkaSettings,
    batch_max: usize,
    declared: &'static [TopicSpec],
    replicas: ReplicaCount,
    patience: Duration,
    trouble: String,
    producer: Option<ThreadedProducer<DeliveryReports>>,
    offsets: OffsetsByPartition,
    ends: Option<PartitionEnds>,
}

impl std::fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaPublisher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The messages of the batch in flight that the broker has answered for. Shared with the client's
/// own thread, which must never wait or panic.
#[derive(Clone, Default)]
struct DeliveryReports {
    state: Arc<Mutex<DeliveryState>>,
    changed: Arc<Notify>,
    complaints: Arc<ClientErrors>,
}

#[derive(Debug, Default)]
struct DeliveryState {
    /// Unconfirmed until the client reports otherwise.
    answers: Vec<PublishResult>,
    /// The number of unconfirmed messages.
    missing: usize,
    /// The number of messages without any report of the client.
    open: usize,
    failure: Option<KafkaError>,
    /// Partition and offset of confirmed messages, by their index in the batch.
    located: Vec<(usize, (i32, i64))>,
}

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.complaints.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(error, reason);
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        if let Ok(message) = result {
            self.locate(place, (message.partition(), message.offset()));
        }
        self.note(place, result.as_ref().map(Message::offset).map_err(|(error, _)| error.clone()));
    }
}

impl DeliveryReports {
    /// Records the broker's answer: the offset of the message, or why it has none.
    fn note(&self, place: usize, answer: Result<i64, KafkaError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.answers.get(place).is_some_and(PublishResult::is_confirmed);
        match answer {
            Ok(offset) if offset >= 0 => {
                if !known && let Some(answer) = state.answers.get_mut(place) {
                    *answer = PublishResult::Confirmed;
                    state.missing -= 1;
                    state.open = state.open.saturating_sub(1);
                }
            }
            Ok(_without_offset) => {
                state.fail(KafkaError::MessageProduction(RDKafkaErrorCode::NoError));
            }
            Err(error) => {
                if !known && let Some(answer) = state.answers.get_mut(place) {
                    *answer = PublishResult::of(&error);
                }
                state.fail(error);
            }
        }
        if state.missing == 0 || state.failure.is_some() {
            self.changed.notify_one();
        }
    }

    /// Records the partition and the offset that the broker gave a message.
    fn locate(&self, place: usize, at: (i32, i64)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.located.push((place, at));
    }

    fn expect(&self, n: usize) {
        let answers = vec![PublishResult::Unconfirmed; n];
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
            DeliveryState { answers, missing: n, open: n, ..DeliveryState::default() };
    }

    /// Waits until all are confirmed, one failed, or there was no progress for too long.
    async fn wait(&self, patience: Duration) -> Result<(), KafkaError> {
        let mut missing_before =
            self.state.lock().unwrap_or_else(PoisonError::into_inner).answers.len();
        loop {
            let changed = tokio::time::timeout(patience, self.changed.notified()).await;
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.failure.is_some() {
                break;
            }
            if state.missing == 0 {
                return Ok(());
            }
            if changed.is_err() && state.missing == missing_before {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
            }
            missing_before = state.missing;
        }
        // Reports that have arrived by then are processed, too.
        let all_answered = async {
            while !self.is_answered() {
                self.changed.notified().await;
            }
        };
        drop(tokio::time::timeout(ANSWERS_LIMIT, all_answered).await);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.take().map_or(Ok(()), Err)
    }

    fn is_answered(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open == 0
    }

    /// Adds the offsets of the confirmed ones of these messages.
    fn add_to(&self, offsets: &mut OffsetsByPartition, messages: &[OutboxRow]) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, (partition, offset)) in &state.located {
            if let (Some(kept), 0..) = (messages.get(*place), *offset) {
                offsets.add((kept.message.topic.to_string(), *partition), *offset);
            }
        }
    }

    fn take(&self) -> Vec<PublishResult> {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner)).answers
    }
}

impl DeliveryState {
    /// A refusal tells more than the client's error for the other messages of the batch.
    fn fail(&mut self, error: KafkaError) {
        self.open = self.open.saturating_sub(1);
        let says_more = matches!(PublishResult::of(&error), PublishResult::Refused(_));
        let told = self
            .failure
            .as_ref()
            .is_some_and(|error| matches!(PublishResult::of(error), PublishResult::Refused(_)));
        if self.failure.is_none() || (says_more && !told) {
            self.failure = Some(error);
        }
    }
}

impl KafkaPublisher {
    /// A publisher for batches of at most `batch_max` messages.
    pub fn new(settings: kafka::KafkaSettings, batch_max: usize) -> Self {
        Self {
            settings,
            batch_max,
            declared: &[],
            replicas: ReplicaCount::majority(1),
            patience: PATIENCE,
            trouble: String::new(),
            producer: None,
            offsets: OffsetsByPartition::default(),
            ends: None,
        }
    }

    /// The same, for topics with these declarations: a missing one is recreated.
    #[must_use]
    pub fn declaring(self, declared: &'static [TopicSpec], replicas: ReplicaCount) -> Self {
        Self { declared, replicas, ..self }
    }

    async fn try_publish(&mut self, messages: &[OutboxRow]) -> Result<(), KafkaError> {
        if self.producer.is_none() {
            let config = self.settings.producer(self.batch_max);
            self.producer = Some(config.create_with_context(DeliveryReports::default())?);
        }
        let Some(producer) = &self.producer else { unreachable!("it was made above") };
        let confirmations = Arc::clone(producer.context());
        confirmations.expect(messages.len());
        for (place, kept) in messages.iter().enumerate() {
            if let Err(error) = send(producer, &self.settings, place, kept) {
                // Later messages are not sent: they could be of the same key.
                confirmations.note(place, Err(error));
                break;
            }
        }
        confirmations.wait(self.patience).await
    }

    /// Drops the producer with all its messages. Its drop can wait for the broker, so it runs on a
    /// thread that is not waited for.
    fn start_over(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.purge(PurgeConfig::default().queue().inflight());
            std::thread::spawn(move || drop(producer));
        }
    }
}

fn send(
    producer: &ThreadedProducer<DeliveryReports>,
    settings: &kafka::KafkaSettings,
    place: usize,
    kept: &OutboxRow,
) -> Result<(), KafkaError> {
    let message = &kept.message;
    let topic = settings.topic(&message.topic);
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    // The sent header names the sending span as its parent, not the decision's.
    let trace = messaging::sending(message).map(|trace_parent| trace_parent.to_string());
    for (key, value) in message.headers.iter() {
        let value = match &trace {
            Some(trace) if key == "traceparent" => Some(trace.as_bytes()),
            _ => value,
        };
        headers = headers.insert(Header { key, value });
    }
    let mut record: BaseRecord<'_, [u8], [u8], usize> =
        BaseRecord::with_opaque_to(&topic, place).headers(headers);
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    producer.send(record).map_err(|(error, _)| error)
}

impl MessagePublisher for KafkaPublisher {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        let outcome = self.try_publish(messages).await;
        let (answers, heard) = match &self.producer {
            Some(producer) => {
                let context = producer.context();
                context.add_to(&mut self.offsets, messages);
                (context.take(), context.complaints.last())
            }
            None => (vec![], None),
        };
        if let Err(error) = outcome {
            self.trouble = describe(&error, heard);
            tracing::debug!(%error, "a message was not confirmed; the producer starts over");
            self.start_over();
        }
        let all_unknown = || vec![PublishResult::Unconfirmed; messages.len()];
        if answers.len() == messages.len() { answers } else { all_unknown() }
    }

    fn offsets(&mut self) -> OffsetsByPartition {
        std::mem::take(&mut self.offsets)
    }

    async fn ends(
        &mut self,
        partitions: Vec<TopicPartition>,
    ) -> Option<BTreeMap<TopicPartition, i64>> {
        let ends = match self.ends.take() {
            Some(ends) => ends,
            None => PartitionEnds::new(&self.settings)?,
        };
        let (ends, told) = ends.ask(partitions).await?;
        self.ends = Some(ends);
        told
    }
    fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    fn trouble(&self) -> String {
        self.trouble.clone()
    }

    fn topics(&self) -> Vec<&'static str> {
        self.declared.iter().map(|spec| spec.name).collect()
    }

    async fn restore(&mut self, topic: &str) -> Result<bool, String> {
        let Some(topic) = self.declared.iter().find(|spec| spec.name == topic) else {
            // Not created: another process may have created it, which the next attempt shows.
            return Ok(false);
        };
        let work = topics::restore(&self.settings, *topic, self.replicas);
        match tokio::time::timeout(RESTORE_LIMIT, work).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(fault::chain(&error)),
            Err(_elapsed) => Err(format!("it was not made anew within {RESTORE_LIMIT:?}")),
        }
    }
}

/// The reason why messages are not confirmed: a refusal itself, or the client's errors about the
/// connection while there was no answer.
fn describe(error: &KafkaError, heard: Option<String>) -> String {
    match (PublishResult::of(error), heard) {
        (PublishResult::Refused(PublishRefusal { code, text, .. }), _) => {
            format!("{code} ({text})")
        }
        (PublishResult::Confirmed | PublishResult::Unconfirmed, Some(heard)) => heard,
        (PublishResult::Confirmed | PublishResult::Unconfirmed, None) => error.to_string(),
    }
}

mod ends;
#[cfg(test)]
mod tests;
