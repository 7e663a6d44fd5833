//! A batch in memory: one list of messages, each marked in place with its disposition.
//!
//! A message is moved into its [`BatchEntry`] when it was read from Kafka and stays there until its
//! offset is stored. Its envelope is parsed once and its body is decoded once, however many
//! transactions are tried. [`EntryDisposition`] belongs to one transaction: each attempt resets it.

use std::time::{Duration, Instant};

use super::{BatchProcessor, MessageHandler};
use crate::{
    codec,
    dead_letter::{DeadLetter, FailureReason},
    fault::{self, Fault},
    message::{IncomingMessage, Message, MessageEnvelope, TraceContext},
    telemetry::messaging::{self, ProcessingCause},
};

/// The bodies of a batch are decoded for this long, without `prepare`. The rest waits for the next
/// pass.
const DECODE_LIMIT: Duration = Duration::from_secs(10);
const _: () = assert!(codec::LEARN_LIMIT.as_secs() <= 10, "as the trait says");

/// A message of a batch with its parsed parts.
#[derive(Debug)]
pub(super) struct BatchEntry<I> {
    /// The raw message, if its envelope cannot be read.
    message: Result<Message, IncomingMessage>,
    body: EntryBody<I>,
    pub(super) disposition: EntryDisposition,
}

/// The decoding state of a message's body.
#[derive(Debug)]
enum EntryBody<I> {
    NotDecoded,
    Decoded {
        input: I,
        /// The schema that decoded the body, if not that of its schema id.
        read_by: Option<String>,
    },
    Invalid(FailureReason, String),
}

/// The outcome of a message in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryDisposition {
    /// Its effect is part of the transaction.
    New,
    /// It was processed before, or has a dead letter already.
    Repeat,
    /// It becomes a dead letter.
    Dead(FailureReason, String),
}

impl<I> BatchEntry<I> {
    /// Parses the envelope. The body is not decoded yet.
    pub(super) fn parse(incoming: IncomingMessage) -> Self {
        let envelope = match MessageEnvelope::from_headers(&incoming.headers) {
            Ok(envelope) => envelope,
            Err(error) => return Self::without_envelope(incoming, error.to_string()),
        };
        if incoming.key.as_deref() != Some(envelope.subject.as_bytes()) {
            return Self::without_envelope(incoming, "its key is not its ce_subject".to_owned());
        }
        let message = Ok(Message { incoming, envelope });
        Self { message, body: EntryBody::NotDecoded, disposition: EntryDisposition::New }
    }

    fn without_envelope(incoming: IncomingMessage, detail: String) -> Self {
        let body = EntryBody::Invalid(FailureReason::Envelope, detail);
        Self { message: Err(incoming), body, disposition: EntryDisposition::New }
    }

    /// The raw message as it was read.
    pub(super) fn incoming(&self) -> &IncomingMessage {
        self.message.as_ref().map_or_else(|incoming| incoming, |message| &message.incoming)
    }

    /// The message, if its envelope could be read.
    pub(super) fn message(&self) -> Option<&Message> {
        self.message.as_ref().ok()
    }

    /// The message with its body, if both could be read.
    pub(super) fn decoded(&self) -> Option<(&Message, &I)> {
        match (&self.message, &self.body) {
            (Ok(message), EntryBody::Decoded { input, .. }) => Some((message, input)),
            _unreadable => None,
        }
    }

    /// The schema that decoded the body, if not that of its schema id.
    pub(super) fn read_by(&self) -> Option<&str> {
        match &self.body {
            EntryBody::Decoded { read_by, .. } => read_by.as_deref(),
            EntryBody::NotDecoded | EntryBody::Invalid(..) => None,
        }
    }

    /// The message can never be processed, whatever its body holds.
    pub(super) fn reject(&mut self, detail: String) {
        self.body = EntryBody::Invalid(FailureReason::Unprocessable, detail);
    }

    /// Resets the marks of an earlier attempt.
    pub(super) fn reset(&mut self) {
        self.disposition = match &self.body {
            EntryBody::NotDecoded | EntryBody::Decoded { .. } => EntryDisposition::New,
            EntryBody::Invalid(reason, detail) => EntryDisposition::Dead(*reason, detail.clone()),
        };
    }

    pub(super) fn is_new(&self) -> bool {
        self.disposition == EntryDisposition::New
    }

    /// The dead letter of a message that is dead.
    pub(super) fn letter(&self) -> Option<DeadLetter<'_>> {
        let EntryDisposition::Dead(reason, detail) = &self.disposition else { return None };
        Some(DeadLetter { incoming: self.incoming(), reason: *reason, detail: detail.clone() })
    }
}

impl<H: MessageHandler> BatchProcessor<H> {
    /// Parses the envelopes; spans of a message's processing belong to this service.
    pub(super) fn entries(
        &self,
        batch: impl IntoIterator<Item = IncomingMessage>,
        by: ProcessingCause,
    ) -> Vec<BatchEntry<H::Input>> {
        let entry = |incoming| {
            let mut entry = BatchEntry::parse(incoming);
            if let Ok(Message { envelope, .. }) = &mut entry.message {
                let sent = envelope.trace.as_ref().map(|trace| trace.parent);
                let own = messaging::processing(envelope.id, self.service, by, sent);
                let state = envelope.trace.take().and_then(|trace| trace.state);
                envelope.trace = Some(TraceContext { parent: own, state });
            }
            entry
        };
        batch.into_iter().map(entry).collect()
    }

    /// Decodes the remaining bodies. Answers how many from the beginning can be processed now, and
    /// why it ends early if it does: never for a fault of the message.
    pub(super) async fn decode(
        &self,
        batch: &mut [BatchEntry<H::Input>],
        by: ProcessingCause,
    ) -> (usize, Option<Fault>) {
        let missing = |entry: &&BatchEntry<H::Input>| matches!(entry.body, EntryBody::NotDecoded);
        let messages: Vec<&Message> =
            batch.iter().filter(missing).filter_map(BatchEntry::message).collect();
        if messages.is_empty() {
            return (batch.len(), None);
        }
        // A schema that is still missing is reported by the first message that needs it.
        if let Err(fault) = self.handler.prepare(&messages).await {
            tracing::debug!(error = fault::chain(&fault), "a batch is decoded as far as it can be");
        }
        let began = Instant::now();
        for (index, entry) in batch.iter_mut().enumerate() {
            let (Ok(message), EntryBody::NotDecoded) = (&entry.message, &entry.body) else {
                continue;
            };
            if index > 0 && began.elapsed() > DECODE_LIMIT {
                let why = format!("decoding a batch takes longer than {DECODE_LIMIT:?}");
                return (index, Some(Fault::transient(why)));
            }
            entry.body = match self.decode_one(message, by).await {
                Ok((input, read_by)) => EntryBody::Decoded { input, read_by },
                Err(Fault::Poison(error)) => {
                    EntryBody::Invalid(FailureReason::Body, fault::chain(&*error))
                }
                Err(transient @ Fault::Transient(_)) => return (index, Some(transient)),
            };
        }
        (batch.len(), None)
    }

    async fn decode_one(
        &self,
        message: &Message,
        by: ProcessingCause,
    ) -> Result<(H::Input, Option<String>), Fault> {
        match by {
            ProcessingCause::Log => Ok((self.handler.decode(message).await?, None)),
            ProcessingCause::Redrive => self.handler.decode_again(message).await,
        }
    }
}
