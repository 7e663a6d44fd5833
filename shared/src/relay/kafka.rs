//! The log that is Kafka: an idempotent producer whose every confirmation is counted.
//!
//! The client's settings are in [`crate::kafka`]. What is special here: a confirmation without an
//! offset is none (the client infers it from a later one), and after any failure the producer is
//! purged and dropped, because only a fresh one starts from a known place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{
        BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
    },
};
use tokio::sync::Notify;

use self::ends::Ends;
use super::Publish;
use crate::{
    kafka,
    outbox::Kept,
    published::{Offsets, Partition},
    telemetry::messaging,
};

/// No confirmation at all for this long, and the producer is thrown away.
const CONFIRMATION_LIMIT: Duration = Duration::from_secs(30);

/// Publishes to Kafka.
pub struct KafkaPublisher {
    settings: kafka::Settings,
    batch_max: usize,
    producer: Option<ThreadedProducer<Confirmations>>,
    offsets: Offsets,
    ends: Option<Ends>,
}

impl std::fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaPublisher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Which messages of the batch in flight the broker has answered for. Shared with the client's
/// own thread, which must never wait or panic.
#[derive(Clone, Default)]
struct Confirmations {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    confirmed: Vec<bool>,
    missing: usize,
    failure: Option<KafkaError>,
    /// Partition and offset of what was confirmed, by its place in the batch.
    located: Vec<(usize, (i32, i64))>,
}

impl ClientContext for Confirmations {}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        if let Ok(message) = result {
            self.locate(place, (message.partition(), message.offset()));
        }
        self.note(place, result.as_ref().map(Message::offset).map_err(|(error, _)| error.clone()));
    }
}

impl Confirmations {
    /// Takes note of the broker's answer: the offset that it gave the message, or why it gave none.
    fn note(&self, place: usize, answer: Result<i64, KafkaError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(offset) if offset >= 0 => {
                if let Some(confirmed) = state.confirmed.get_mut(place)
                    && !std::mem::replace(confirmed, true)
                {
                    state.missing -= 1;
                }
            }
            Ok(_without_offset) => {
                state.failure = Some(KafkaError::MessageProduction(RDKafkaErrorCode::NoError));
            }
            Err(error) => state.failure = Some(error),
        }
        if state.missing == 0 || state.failure.is_some() {
            self.changed.notify_one();
        }
    }

    /// Takes note of the partition and the offset that the broker gave a message.
    fn locate(&self, place: usize, at: (i32, i64)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.located.push((place, at));
    }

    fn expect(&self, n: usize) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
            State { confirmed: vec![false; n], missing: n, ..State::default() };
    }

    /// Waits until all is confirmed, something failed, or nothing moved for too long.
    async fn wait(&self) -> Result<(), KafkaError> {
        let mut missing_before = usize::MAX;
        loop {
            let changed = tokio::time::timeout(CONFIRMATION_LIMIT, self.changed.notified()).await;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            if state.missing == 0 {
                return Ok(());
            }
            if changed.is_err() && state.missing == missing_before {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
            }
            missing_before = state.missing;
        }
    }

    /// The offsets of what was confirmed of these messages.
    fn offsets(&self, messages: &[Kept]) -> Offsets {
        let mut offsets = Offsets::default();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, (partition, offset)) in &state.located {
            if let (Some(kept), 0..) = (messages.get(*place), *offset) {
                offsets.add((kept.message.topic.to_string(), *partition), *offset);
            }
        }
        offsets
    }

    fn take(&self) -> Vec<bool> {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner)).confirmed
    }
}

impl KafkaPublisher {
    /// A publisher for batches of at most `batch_max` messages.
    pub fn new(settings: kafka::Settings, batch_max: usize) -> Self {
        Self { settings, batch_max, producer: None, offsets: Offsets::default(), ends: None }
    }

    async fn try_publish(&mut self, messages: &[Kept]) -> Result<(), KafkaError> {
        if self.producer.is_none() {
            let config = self.settings.producer(self.batch_max);
            self.producer = Some(config.create_with_context(Confirmations::default())?);
        }
        let Some(producer) = &self.producer else { unreachable!("it was made above") };
        let confirmations = Arc::clone(producer.context());
        confirmations.expect(messages.len());
        for (place, kept) in messages.iter().enumerate() {
            send(producer, &self.settings, place, kept)?;
        }
        confirmations.wait().await
    }

    /// Throws the producer away with everything that it holds. Its drop can wait for the broker,
    /// so it happens on a thread that nobody waits for.
    fn start_over(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.purge(PurgeConfig::default().queue().inflight());
            std::thread::spawn(move || drop(producer));
        }
    }
}

fn send(
    producer: &ThreadedProducer<Confirmations>,
    settings: &kafka::Settings,
    place: usize,
    kept: &Kept,
) -> Result<(), KafkaError> {
    let message = &kept.message;
    let topic = settings.topic(&message.topic);
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    // What travels names the sending as its parent, not the decision behind it.
    let trace = messaging::sending(message).map(|it| it.to_string());
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

impl Publish for KafkaPublisher {
    async fn publish(&mut self, messages: &[Kept]) -> Vec<bool> {
        let outcome = self.try_publish(messages).await;
        let confirmed = match &self.producer {
            Some(producer) => {
                self.offsets = producer.context().offsets(messages);
                producer.context().take()
            }
            None => vec![],
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the log did not confirm a message; the producer starts over");
            self.start_over();
        }
        if confirmed.len() == messages.len() { confirmed } else { vec![false; messages.len()] }
    }

    fn offsets(&mut self) -> Offsets {
        std::mem::take(&mut self.offsets)
    }

    async fn ends(&mut self, partitions: Vec<Partition>) -> Option<BTreeMap<Partition, i64>> {
        let ends = match self.ends.take() {
            Some(ends) => ends,
            None => Ends::new(&self.settings)?,
        };
        let (ends, told) = ends.ask(partitions).await?;
        self.ends = Some(ends);
        told
    }
}

mod ends;
#[cfg(test)]
mod tests;
