//! The reasons why a body cannot be read.

use super::BODY_BYTES_MAX;

/// Why a body cannot be read. Each reason is a fault of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// Its content type is not that of its topic.
    #[error("its ce_type is {found}, and its topic carries {wanted}")]
    OtherType {
        /// The content type that the header gives.
        found: String,
        /// The content type that it should be.
        wanted: &'static str,
    },
    /// The message has no body at all.
    #[error("it has no body")]
    NoBody,
    /// The body is larger than [`BODY_BYTES_MAX`].
    #[error("its body has {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge(usize),
    /// The body is too short to hold a schema id.
    #[error("its body has {0} bytes, too few for a schema id")]
    TooShort(usize),
    /// The body is not in the wire format.
    #[error("its body begins with {0:#04x} instead of 0x00 and a schema id")]
    NoMagic(u8),
    /// An id that no registry assigns.
    #[error("its schema id is {0}, which no registry gives")]
    NoId(u32),
    /// Its schema is named by a GUID, before the datum or in a header: Confluent's newer framing.
    #[error(
        "its schema is named by a GUID ({0}), not by an id after a 0x00: its producer has to use the \
         prefix framing (value.schema.id.serializer = PrefixSchemaIdSerializer)"
    )]
    Guid(&'static str),
    /// The registry does not know the id.
    #[error("its schema id is {0}, which the registry does not know")]
    UnknownId(u32),
    /// The schema is not an Avro schema, or not one that may be used for decoding.
    #[error("its schema {id} is not used: {reason}")]
    Schema {
        /// The schema id in the body's frame.
        id: u32,
        /// The error in the schema.
        reason: String,
    },
    /// The schema describes another record.
    #[error("its schema {id} describes {found}, and its topic carries {wanted}")]
    OtherRecord {
        /// The schema id in the body's frame.
        id: u32,
        /// The full name of the record that the schema describes.
        found: String,
        /// The full name of the expected record.
        wanted: String,
    },
    /// The id is unknown, or is that of another record, and our own schema can read the body.
    #[error(
        "{why}; but our own schema can read its body: the registry may have come back with other \
         ids, and a redrive reads it so"
    )]
    Renumbered {
        /// What is wrong with the id.
        why: String,
    },
    /// The bytes do not match the schema.
    #[error("its body does not fit its schema: {0}")]
    Datum(String),
    /// The bytes end before the record does.
    #[error("its body ends in the middle of the record")]
    Truncated,
    /// Bytes follow the record.
    #[error("{0} bytes follow the record in its body")]
    Trailing(usize),
    /// The decoder itself failed.
    #[error("its body makes the decoder panic")]
    Panicked,
}

impl UnreadableBody {
    /// Whether the schema id is at fault: it is unknown, or is that of another record.
    pub(super) fn is_of_the_id(&self) -> bool {
        matches!(self, Self::UnknownId(_) | Self::OtherRecord { .. })
    }
}
