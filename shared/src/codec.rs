//! Records ⇄ bytes: Avro in Confluent's wire format, read by any tool that knows a registry.
//!
//! ```text
//! 00 │ schema id, 4 bytes, big-endian │ Avro datum
//! ```
//!
//! **Architecture invariant:** nothing is said before its schema is registered, so a reader always
//! finds it. A schema that would break readers is refused by the registry before the first message,
//! and the service does not start.
//!
//! **Architecture invariant:** bytes are a stranger's until they are decoded, and so is a schema
//! that somebody else wrote. Both are bounded before they are used, and each way to be wrong is
//! poison with its own reason. That the registry cannot be asked is never the message's fault.

use std::{any::TypeId, borrow::Cow, collections::HashMap, sync::Arc};

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    contract::Record,
    dependency::{self, Waited},
    fault::Fault,
    health::Component,
    message::{Envelope, Message, Outgoing, TraceParent},
    registry::{self, Registry},
};

pub use datum::{Datum, Shape};
pub use unreadable::Unreadable;

use writers::Writers;

mod datum;
mod foreign;
mod unreadable;
mod writers;

/// What a body may weigh. Larger ones are not looked at.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the wire format begins with.
const MAGIC: u8 = 0;

/// Encodes and decodes the records of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Codec(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Cow<'static, str>,
    ids: HashMap<TypeId, u32>,
    writers: Writers,
}

/// Who speaks, and where the schemas are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ce_source` of everything this service says.
    pub source: String,
    /// The registry's base URL, with its path.
    pub registry_url: String,
    /// Stands before each topic, and so before each subject.
    pub prefix: String,
}

/// A kind of record, as a value.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    topic: &'static str,
    id: TypeId,
    shape: fn() -> &'static Shape,
}

impl Kind {
    /// The kind of `R`.
    pub fn of<R: Record>() -> Self {
        Self { topic: R::TOPIC, id: TypeId::of::<R>(), shape: Shape::of::<R> }
    }

    /// The subject under which its schemas are kept: one per topic.
    fn subject(&self, settings: &Settings) -> String {
        format!("{}{}-value", settings.prefix, self.topic)
    }
}

/// What stands on the outside of a message that is about to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// Its id.
    pub id: Uuid,
    /// What it happened to: the key.
    pub subject: String,
    /// The n-th message that this subject says.
    pub sequence: i64,
    /// When it happened.
    pub at: OffsetDateTime,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// Why a service cannot speak.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused, or cannot be asked.
    #[error("the schemas of {0} cannot be agreed upon")]
    Registry(String, #[source] registry::Error),
    /// The registry's address is of no use.
    #[error("the schema registry cannot be used")]
    Client(#[source] registry::Error),
    /// We were told to stop first.
    #[error("told to stop before the schema registry answered")]
    Stopped,
}

impl Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Registry(_, error) => error.is_transient(),
            Self::Client(_) | Self::Stopped => false,
        }
    }
}

impl Codec {
    /// Registers what this service says, and looks at what is said to it.
    ///
    /// Waits for the registry for as long as it takes, telling `health` why. A schema that the
    /// registry refuses ends it: what nobody could read must not be said.
    pub async fn connect(
        settings: &Settings,
        says: &[Kind],
        reads: &[Kind],
        health: &Component,
        stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let registry = Registry::new(&settings.registry_url).map_err(Error::Client)?;
        let attempt = async || introduce(&registry, settings, says, reads).await;
        match dependency::wait(health, stop, Error::is_transient, attempt).await {
            Waited::Up(inner) => Ok(Self(Arc::new(inner))),
            Waited::Refused(error) => Err(error),
            Waited::Stopped => Err(Error::Stopped),
        }
    }

    /// A message with this record inside and `says` outside, for the record's topic.
    pub fn message<R: Record>(&self, says: Says, record: &R) -> Result<Outgoing, Fault> {
        let Some(id) = self.0.ids.get(&TypeId::of::<R>()) else {
            return Err(Fault::poison(format!("{} is not among what is said here", R::TYPE)));
        };
        let mut payload = Vec::with_capacity(256);
        payload.push(MAGIC);
        payload.extend_from_slice(&id.to_be_bytes());
        Shape::of::<R>().write(record, &mut payload).map_err(Fault::poison)?;
        Ok(self.outgoing::<R>(says, Some(payload)))
    }

    /// A message that says that there is no such subject any more. Only for topics of latest
    /// values.
    pub fn tombstone<R: Record>(&self, says: Says) -> Outgoing {
        self.outgoing::<R>(says, None)
    }

    fn outgoing<R: Record>(&self, says: Says, payload: Option<Vec<u8>>) -> Outgoing {
        let key = says.subject.clone().into_bytes();
        let envelope = Envelope {
            id: says.id,
            event_type: R::TYPE.into(),
            source: self.0.source.clone(),
            subject: says.subject,
            sequence: says.sequence,
            time: says.at,
            trace: says.trace,
        };
        Outgoing {
            id: says.id,
            topic: R::TOPIC.into(),
            key: Some(key),
            headers: envelope.to_headers(),
            payload,
        }
    }

    /// Reads the body of a message as the record of its topic.
    pub async fn decode<R: Record>(&self, message: &Message) -> Result<R, Fault> {
        let record = self.decode_optional(message).await?;
        record.ok_or_else(|| Fault::poison(Unreadable::NoBody))
    }

    /// Reads the body of a message as the record of its topic; none is a tombstone.
    pub async fn decode_optional<R: Record>(&self, message: &Message) -> Result<Option<R>, Fault> {
        if message.envelope.event_type != R::TYPE {
            let found = message.envelope.event_type.to_string();
            return Err(Fault::poison(Unreadable::OtherType { found, wanted: R::TYPE }));
        }
        let Some(payload) = &message.incoming.payload else { return Ok(None) };
        let (id, datum) = unwrap(payload).map_err(Fault::poison)?;
        let reader = self.0.writers.reader::<R>(id).await?;
        reader.read(datum).map(Some).map_err(Fault::poison)
    }
}

/// Registers and looks, once.
async fn introduce(
    registry: &Registry,
    settings: &Settings,
    says: &[Kind],
    reads: &[Kind],
) -> Result<Inner, Error> {
    let writers = Writers::new(registry.clone());
    let mut ids = HashMap::new();
    for kind in says {
        let subject = kind.subject(settings);
        let failed = |error| Error::Registry(subject.clone(), error);
        registry.require_full_compatibility(&subject).await.map_err(failed)?;
        let text = (kind.shape)().text();
        let id = registry.register(&subject, text).await.map_err(failed)?;
        ids.insert(kind.id, id);
        writers.remember(id, *kind, &registry::Schema { text: text.to_owned(), kind: None });
    }
    for kind in reads {
        let subject = kind.subject(settings);
        let failed = |error| Error::Registry(subject.clone(), error);
        // What is known now need not be asked for when the registry is away.
        if let Some(latest) = registry.latest(&subject).await.map_err(failed)? {
            writers.remember(latest.id, *kind, &latest.schema);
        }
    }
    Ok(Inner { source: settings.source.clone().into(), ids, writers })
}

/// Takes the wire format off: the id of the writer's schema, and the datum.
fn unwrap(payload: &[u8]) -> Result<(u32, &[u8]), Unreadable> {
    if payload.len() > BODY_BYTES_MAX {
        return Err(Unreadable::TooLarge(payload.len()));
    }
    if let Some(first) = payload.first().filter(|it| **it != MAGIC) {
        return Err(Unreadable::NoMagic(*first));
    }
    let Some((prefix, datum)) = payload.split_first_chunk::<5>() else {
        return Err(Unreadable::TooShort(payload.len()));
    };
    let [_magic, id @ ..] = *prefix;
    let id = u32::from_be_bytes(id);
    // Registries count with signed numbers, from 1.
    match i32::try_from(id) {
        Ok(1..) => Ok((id, datum)),
        _ => Err(Unreadable::NoId(id)),
    }
}

#[cfg(test)]
mod tests;
