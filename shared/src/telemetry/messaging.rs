//! The spans of a message: in the outbox, to the log, in the log, through a service.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for messaging, with two further
//! spans that show where a message waits: `outbox` and `topic`. Topics have the names used in this
//! code, without the deployment's prefix.

use std::time::SystemTime;

use time::OffsetDateTime;
use uuid::Uuid;

use super::spans::{self, FinishedSpan, KeyValue, Kind};
use crate::{
    message::{IncomingMessage, Message, OutgoingMessage, TraceParent},
    outbox::OutboxRow,
};

/// How a message came to be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessingCause {
    /// It was read from the log.
    Log,
    /// It is a dead letter that is redriven.
    Redrive,
}

impl ProcessingCause {
    fn word(self) -> &'static str {
        match self {
            Self::Log => "process",
            Self::Redrive => "redrive",
        }
    }
}

/// The context under which a message is to travel, if it is another than that of the decision.
pub(crate) fn sending(message: &OutgoingMessage) -> Option<TraceParent> {
    if !spans::is_on() {
        return None;
    }
    let decided = message.headers.trace().filter(|trace_parent| trace_parent.is_sampled())?;
    Some(decided.derive(message.id, "send"))
}

/// The context of a service's work on a message. One that came without begins a trace here.
pub(crate) fn processing(
    id: Uuid,
    service: &str,
    by: ProcessingCause,
    sent: Option<TraceParent>,
) -> TraceParent {
    match sent {
        None => TraceParent::start(),
        Some(sent) if spans::wanted(sent) => sent.derive(id, &format!("{} {service}", by.word())),
        Some(unrecorded) => unrecorded,
    }
}

/// A message was published: it waited in the outbox, then it was sent.
pub(crate) fn published(kept: &OutboxRow, began: SystemTime) {
    let message = &kept.message;
    let Some(sent) = sending(message) else { return };
    let Some(decided) = message.headers.trace() else { return };
    let waited = attributes(&message.topic, message.id, message.key.as_deref());
    let mut attributes = waited.clone();
    attributes.extend([
        KeyValue::new("messaging.operation.name", "send"),
        KeyValue::new("messaging.operation.type", "send"),
    ]);
    spans::record(FinishedSpan {
        own: decided.derive(message.id, "outbox"),
        parent: Some(decided),
        kind: Kind::Internal,
        name: format!("outbox {}", message.topic).into(),
        began: SystemTime::from(kept.created_at).min(began),
        ended: began,
        attributes: waited,
        error: None,
    });
    spans::record(FinishedSpan {
        own: sent,
        parent: Some(decided),
        kind: Kind::Producer,
        name: format!("send {}", message.topic).into(),
        began,
        ended: spans::now(),
        attributes,
        error: None,
    });
}

/// A message was processed, or cannot be: it waited in the log, then a service worked on it.
pub(crate) fn processed(
    service: &'static str,
    message: &Message,
    (by, began): (ProcessingCause, SystemTime),
    error: Option<String>,
) {
    let (incoming, envelope) = (&message.incoming, &message.envelope);
    let own = envelope.trace.as_ref().map(|trace| trace.parent);
    let Some(own) = own.filter(|trace_parent| spans::wanted(*trace_parent)) else { return };
    let sent = incoming.headers.trace();
    let mut waited = attributes(&incoming.topic, envelope.id, incoming.key.as_deref());
    waited.extend([
        KeyValue::new("messaging.destination.partition.id", incoming.partition.to_string()),
        KeyValue::new("messaging.kafka.offset", incoming.offset),
        KeyValue::new("messaging.consumer.group.name", service),
    ]);
    let mut attributes = waited.clone();
    attributes.extend([
        KeyValue::new("messaging.operation.name", by.word()),
        KeyValue::new("messaging.operation.type", "process"),
    ]);
    if let (ProcessingCause::Log, Some(sent), Some(appended)) = (by, sent, appended_at(incoming)) {
        spans::record(FinishedSpan {
            own: sent.derive(envelope.id, &format!("topic {service}")),
            parent: Some(sent),
            kind: Kind::Internal,
            name: format!("topic {}", incoming.topic).into(),
            began: appended.min(began),
            ended: began,
            attributes: waited,
            error: None,
        });
    }
    spans::record(FinishedSpan {
        own,
        parent: sent,
        kind: Kind::Consumer,
        name: format!("{} {}", by.word(), incoming.topic).into(),
        began,
        ended: spans::now(),
        attributes,
        error,
    });
}

/// What is known of a message on every part of its way.
fn attributes(topic: &str, id: Uuid, key: Option<&[u8]>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
        KeyValue::new("messaging.message.id", id.to_string()),
    ];
    // A key from another source may be any bytes.
    let key = key.filter(|bytes| bytes.len() <= KEY_BYTES_MAX).map(String::from_utf8_lossy);
    attributes
        .extend(key.map(|text| KeyValue::new("messaging.kafka.message.key", text.into_owned())));
    attributes
}

/// Our own keys are ids and short names.
const KEY_BYTES_MAX: usize = 100;

/// When the log took it, or its sender sent it, as the topic is set.
fn appended_at(incoming: &IncomingMessage) -> Option<SystemTime> {
    let nanos = i128::from(incoming.timestamp_ms?) * 1_000_000;
    Some(OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.into())
}
