//! Records ⇄ bytes: Avro in Confluent's wire format.

use crate::{
    contract::Record,
    fault::Fault,
    message::{Message, Outgoing, TraceParent},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// Encodes and decodes the records of one service.
#[derive(Clone, Debug)]
pub struct Codec {}

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

impl Codec {
    /// A message with this record inside and `says` outside, for the record's topic.
    pub fn message<R: Record>(&self, _says: Says, _record: &R) -> Result<Outgoing, Fault> {
        unimplemented!()
    }

    /// Reads the body of a message as the record of its topic.
    pub async fn decode<R: Record>(&self, _message: &Message) -> Result<R, Fault> {
        unimplemented!()
    }
}
