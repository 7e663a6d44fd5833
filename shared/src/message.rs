//! Messages and their headers.
//!
//! Headers follow `CloudEvents` 1.0 in Kafka's binary mode: `ce_id`, `ce_source`, `ce_type`,
//! `ce_time`, `ce_subject`, the extension `ce_sequence`, and the W3C `traceparent` and `tracestate`.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

pub use headers::MessageHeaders;
pub use trace::TraceParent;
pub use trace_context::{TraceContext, TraceState};

mod headers;
mod trace;
mod trace_context;

/// An outgoing message: returned by a decision and stored in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The permanent id of the message; the receiver's inbox detects repeats by it.
    pub id: Uuid,
    /// The topic, without the deployment's prefix.
    pub topic: Cow<'static, str>,
    /// Messages of one key stay in order.
    pub key: Option<Vec<u8>>,
    /// What stands on its outside.
    pub headers: MessageHeaders,
    /// The encoded body; none is a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl OutgoingMessage {
    /// The size in bytes: key, headers and body.
    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        of(&self.key) + self.headers.to_bytes().len() + of(&self.payload)
    }
}

/// A message as it was received, not validated yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingMessage {
    /// The topic it was read from, without the deployment's prefix.
    pub topic: String,
    /// Partition it was read from.
    pub partition: i32,
    /// Place in that partition.
    pub offset: i64,
    /// When the broker took it, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The message's key, which decides its partition.
    pub key: Option<Vec<u8>>,
    /// What stands on its outside.
    pub headers: MessageHeaders,
    /// The encoded body; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl IncomingMessage {
    /// SHA-256 of timestamp, key, headers and body: what tells two messages apart that have the
    /// same offset, because their topic began anew in between. The database generates the same
    /// value in the column `digest` of what it keeps.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.timestamp_ms.unwrap_or(-1).to_be_bytes());
        for part in [self.key.as_deref(), Some(&self.headers.to_bytes()), self.payload.as_deref()] {
            // As PostgreSQL's `int4send(length(..))`; -1 is null. No message is that long.
            let length = part.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            hasher.update(length.to_be_bytes());
            hasher.update(part.unwrap_or_default());
        }
        hasher.finalize().into()
    }
}

/// A message whose headers have been read and are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message as it was received.
    pub incoming: IncomingMessage,
    /// The content of the headers.
    pub envelope: MessageEnvelope,
}

/// The body of a message is about another subject than its envelope says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is about {body}, but its ce_subject is {subject}")]
pub struct OtherSubject {
    /// The subject in the envelope.
    pub subject: String,
    /// The subject in the body.
    pub body: String,
}

impl Message {
    /// Checks that the body is about the subject of the envelope. The consumer has checked that the
    /// subject is the message's key: otherwise its order among the messages of the subject is not
    /// known.
    pub fn check_subject(&self, body: &str) -> Result<(), OtherSubject> {
        let subject = &self.envelope.subject;
        if subject == body {
            return Ok(());
        }
        Err(OtherSubject { subject: subject.clone(), body: body.to_owned() })
    }
}

/// The parsed headers of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEnvelope {
    /// `ce_id`: the sender's name for the message, a `UUIDv7`.
    pub id: Uuid,
    /// `ce_type`: what kind of thing happened.
    pub event_type: Cow<'static, str>,
    /// `ce_source`: which service sent the message.
    pub source: Cow<'static, str>,
    /// `ce_subject`: what it happened to; the same text as the key.
    pub subject: String,
    /// `ce_sequence`: the number of the message among those of this source and subject.
    pub sequence: i64,
    /// `ce_time`: when it happened.
    pub time: OffsetDateTime,
    /// `traceparent` and `tracestate`: the trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// Why the headers of a message are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A header that must be there is not.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header stands there more than once.
    #[error("header {0} stands there more than once")]
    Repeated(&'static str),
    /// A header cannot be read.
    #[error("header {0} is not {1}")]
    Malformed(&'static str, &'static str),
}

impl MessageEnvelope {
    /// The headers that say this.
    pub fn to_headers(&self) -> MessageHeaders {
        let mut headers = MessageHeaders::default();
        headers.push("ce_specversion", "1.0");
        headers.push("ce_id", &self.id.to_string());
        headers.push("ce_source", &self.source);
        headers.push("ce_type", &self.event_type);
        headers.push("ce_time", &self.time.format(&Rfc3339).unwrap_or_default());
        headers.push("ce_subject", &self.subject);
        headers.push("ce_sequence", &self.sequence.to_string());
        headers.push("content-type", "application/avro");
        if let Some(trace) = &self.trace {
            headers.push("traceparent", &trace.parent.to_string());
            if let Some(state) = &trace.state {
                headers.push("tracestate", state.as_str());
            }
        }
        headers
    }

    /// Reads what the headers say. An unreadable `traceparent` or `tracestate` is dropped, as W3C
    /// asks.
    pub fn from_headers(headers: &MessageHeaders) -> Result<Self, EnvelopeError> {
        let id = text(headers, "ce_id")?;
        let id = Uuid::parse_str(id)
            .ok()
            .filter(|id| id.get_version_num() == 7)
            .ok_or(EnvelopeError::Malformed("ce_id", "a UUIDv7"))?;
        let time = OffsetDateTime::parse(text(headers, "ce_time")?, &Rfc3339)
            .map_err(|_unread| EnvelopeError::Malformed("ce_time", "a time as in RFC 3339"))?;
        let sequence = text(headers, "ce_sequence")?
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or(EnvelopeError::Malformed("ce_sequence", "a positive number"))?;
        Ok(Self {
            id,
            event_type: text(headers, "ce_type")?.to_owned().into(),
            source: text(headers, "ce_source")?.to_owned().into(),
            subject: text(headers, "ce_subject")?.to_owned(),
            sequence,
            time,
            trace: headers.trace_context(),
        })
    }
}

fn text<'h>(headers: &'h MessageHeaders, name: &'static str) -> Result<&'h str, EnvelopeError> {
    headers.text(name)?.ok_or(EnvelopeError::Missing(name))
}

#[cfg(test)]
mod tests;
