//! Records ⇄ bytes: Avro in Confluent's wire format, read by any tool that knows a registry.
//!
//! ```text
//! 00 │ schema id, 4 bytes, big-endian │ Avro datum
//! ```
//!
//! **Architecture invariant:** no message is sent before its schema is registered, so a reader
//! always finds the schema. The registry refuses a schema that would break readers before the first
//! message, and the service does not start. Schemas that are registered already are only read:
//! nothing is written to a registry that has all schemas.
//!
//! **Architecture invariant:** bytes are untrusted until they are decoded, and so is a schema of
//! another writer. Both are bounded before they are used, and each kind of error is poison with its
//! own reason. A registry that is out of reach is never the message's fault.

use std::{
    any::TypeId,
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    dependency::{self, WaitOutcome},
    fault::Fault,
    health::HealthComponent,
    message::{Message, MessageEnvelope, OutgoingMessage, TraceParent},
    schema_registry::{self, SchemaRegistry},
};

pub use datum::{DatumReader, RecordShape};
pub use unreadable_body::UnreadableBody;

use unknown_ids::UnknownIds;
use writer_schemas::WriterSchemas;

mod datum;
mod framing;
mod logical;
mod registration;
mod schema_guard;
pub mod timestamp_micros;
mod unknown_ids;
mod unreadable_body;
mod writer_schemas;

pub(crate) use writer_schemas::LEARN_LIMIT;

/// The largest size of a body. Larger bodies are refused unread.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Encodes and decodes the records of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AvroCodec(Arc<CodecState>, Option<ReadBy>);

/// The schema by which a body was decoded, if not by its schema id: only of a redrive.
type ReadBy = Arc<Mutex<Option<String>>>;

#[derive(Debug)]
struct CodecState {
    registry: SchemaRegistry,
    source: Cow<'static, str>,
    prefix: String,
    writes: Vec<RecordKind>,
    /// The schemas of the records that are read here, by topic.
    reads: HashMap<&'static str, RecordKind>,
    /// The schema ids of sent records. They change if the registry returns with other ids.
    ids: RwLock<HashMap<TypeId, u32>>,
    writers: WriterSchemas,
    sightings: UnknownIds,
}

/// The source of the messages, and the address of the schema registry.
#[derive(Clone, Debug)]
pub struct CodecSettings {
    /// `ce_source` of every message that this service sends.
    pub source: String,
    /// The registry's base URL, with its path.
    pub registry_url: String,
    /// The prefix of each topic, and so of each subject.
    pub prefix: String,
}

/// A record: the body of the messages of one topic.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The topic that carries it. One kind of event, one topic.
    const TOPIC: &'static str;
    /// The `ce_type` of its messages.
    const TYPE: &'static str;
    /// Its Avro schema, as committed.
    const SCHEMA: &'static str;
}

/// A kind of record, as a value.
#[derive(Clone, Copy, Debug)]
pub struct RecordKind {
    topic: &'static str,
    event_type: &'static str,
    id: TypeId,
    shape: fn() -> &'static RecordShape,
}

impl RecordKind {
    /// The kind of `R`.
    pub fn of<R: Record>() -> Self {
        let (topic, event_type) = (R::TOPIC, R::TYPE);
        Self { topic, event_type, id: TypeId::of::<R>(), shape: RecordShape::of::<R> }
    }

    /// The topic that carries it, and nothing else.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// The `ce_type` of the messages that carry it.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The subject under which its schemas are kept: one per topic.
    fn subject(&self, prefix: &str) -> String {
        format!("{prefix}{}-value", self.topic)
    }
}

/// The headers of a message that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMeta {
    /// The `ce_id` header: unique among all messages of its source.
    pub id: Uuid,
    /// The subject of the event, which is the key.
    pub subject: String,
    /// The number of the message among those of this subject.
    pub sequence: i64,
    /// The `ce_time` header: when the event happened, UTC.
    pub at: OffsetDateTime,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// Why a service cannot encode messages.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The registry refused, or cannot be asked.
    #[error("the schemas of {0} cannot be agreed upon")]
    Registry(String, #[source] schema_registry::RegistryError),
    /// A schema is not registered, and we may not register it.
    #[error(
        "the schema of {0} is not registered, and the schema registry does not let this service \
         register it: register it with other rights, or allow it to"
    )]
    MayNotRegister(String, #[source] schema_registry::RegistryError),
    /// A subject takes schemas that break readers, and we may not change that.
    #[error(
        "the subject {subject} has the compatibility {found} where {wanted} is needed, and the schema \
         registry does not let this service set it: set it with other rights, or allow it to"
    )]
    MayNotConfigure {
        /// The subject in the registry.
        subject: String,
        /// What counts for it now.
        found: String,
        /// The level that the runtime requires.
        wanted: &'static str,
        /// How the registry refuses.
        #[source]
        source: schema_registry::RegistryError,
    },
    /// The registry's address is of no use.
    #[error("the schema registry cannot be used")]
    Client(#[source] schema_registry::RegistryError),
    /// We were told to stop first.
    #[error("told to stop before the schema registry answered")]
    Stopped,
}

impl CodecError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Registry(_, error) => error.is_transient(),
            Self::Client(_)
            | Self::Stopped
            | Self::MayNotRegister(..)
            | Self::MayNotConfigure { .. } => false,
        }
    }
}

impl AvroCodec {
    /// Registers the schemas that this service writes, and reads those that it receives.
    ///
    /// Waits for the registry for as long as it takes and reports the reason through `health`. A
    /// schema that the registry refuses is an error: unreadable messages must not be sent.
    pub async fn connect(
        settings: &CodecSettings,
        writes: &[RecordKind],
        reads: &[RecordKind],
        health: &HealthComponent,
        stop: &CancellationToken,
    ) -> Result<Self, CodecError> {
        let registry = SchemaRegistry::new(&settings.registry_url).map_err(CodecError::Client)?;
        let attempt = async || {
            let about = (settings, health);
            registration::register_schemas(&registry, about, writes, reads).await
        };
        match dependency::wait(health, stop, CodecError::is_transient, attempt).await {
            WaitOutcome::Up(inner) => Ok(Self(Arc::new(inner), None)),
            WaitOutcome::Refused(error) => Err(error),
            WaitOutcome::Stopped => Err(CodecError::Stopped),
        }
    }

    /// A message with this record inside and `meta` in the headers, for the record's topic.
    pub fn message<R: Record>(
        &self,
        meta: EventMeta,
        record: &R,
    ) -> Result<OutgoingMessage, Fault> {
        let ids = self.0.ids.read().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = ids.get(&TypeId::of::<R>()).copied() else {
            return Err(Fault::poison(format!(
                "{} is not among the records that this service writes",
                R::TYPE
            )));
        };
        drop(ids);
        let mut payload = framing::frame(id);
        RecordShape::of::<R>().write(record, &mut payload).map_err(Fault::poison)?;
        Ok(self.outgoing::<R>(meta, Some(payload)))
    }

    /// A message that says that there is no such subject any more. Only for topics of latest
    /// values.
    pub fn tombstone<R: Record>(&self, meta: EventMeta) -> OutgoingMessage {
        self.outgoing::<R>(meta, None)
    }

    fn outgoing<R: Record>(&self, meta: EventMeta, payload: Option<Vec<u8>>) -> OutgoingMessage {
        let key = meta.subject.clone().into_bytes();
        let envelope = MessageEnvelope {
            id: meta.id,
            event_type: R::TYPE.into(),
            source: self.0.source.clone(),
            subject: meta.subject,
            sequence: meta.sequence,
            time: meta.at,
            trace: meta.trace,
        };
        OutgoingMessage {
            id: meta.id,
            topic: R::TOPIC.into(),
            key: Some(key),
            headers: envelope.to_headers(),
            payload,
        }
    }

    /// Reads the body of a message as the record of its topic.
    pub async fn decode<R: Record>(&self, message: &Message) -> Result<R, Fault> {
        let record = self.decode_optional(message).await?;
        record.ok_or_else(|| Fault::poison(UnreadableBody::NoBody))
    }

    /// Reads the body of a message as the record of its topic; none is a tombstone.
    pub async fn decode_optional<R: Record>(&self, message: &Message) -> Result<Option<R>, Fault> {
        if message.envelope.event_type != R::TYPE {
            let found = message.envelope.event_type.to_string();
            return Err(Fault::poison(UnreadableBody::OtherType { found, wanted: R::TYPE }));
        }
        let Some(payload) = &message.incoming.payload else { return Ok(None) };
        let (id, datum) = framing::unwrap(payload)
            .map_err(|why| framing::or_in_a_header(&message.incoming.headers, why))
            .map_err(Fault::poison)?;
        let reader = self.0.writers.reader::<R>(id).await?;
        match reader.read(datum) {
            Ok(record) => Ok(Some(record)),
            Err(why) if why.is_of_the_id() && self.1.is_some() => {
                self.read_by_type(datum, why).await.map(Some)
            }
            Err(why) => Err(self.0.unread::<R>(datum, why)),
        }
    }

    /// Fetches from the registry all unknown schemas that these messages need, several at a time,
    /// so that decoding them one after another makes no further call. Ends within 10 s. A transient
    /// fault if not all schemas could be fetched; the fetched ones are kept.
    pub async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        let wanted = |message: &&Message| {
            let kind = self.0.reads.get(message.incoming.topic.as_str())?;
            let payload = message.incoming.payload.as_deref()?;
            let (id, _) = framing::unwrap(payload).ok()?;
            (message.envelope.event_type == kind.event_type).then_some((id, *kind))
        };
        let wanted: Vec<(u32, RecordKind)> = messages.iter().filter_map(wanted).collect();
        self.0.writers.learn(&wanted).await
    }
}

#[cfg(test)]
mod tests;
