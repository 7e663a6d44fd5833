//! What can be wrong with a body.

use super::BODY_BYTES_MAX;

/// Why a body cannot be read. Each is the message's own fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// It says that it is something else than its topic carries.
    #[error("its ce_type is {found}, and its topic carries {wanted}")]
    OtherType {
        /// What it says.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// It has none.
    #[error("it has no body")]
    NoBody,
    /// It is larger than [`BODY_BYTES_MAX`].
    #[error("its body has {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge(usize),
    /// It does not even hold a schema's id.
    #[error("its body has {0} bytes, too few for a schema id")]
    TooShort(usize),
    /// It is not in the wire format.
    #[error("its body begins with {0:#04x} instead of 0x00 and a schema id")]
    NoMagic(u8),
    /// No registry gives this id.
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
    /// The schema is not one of Avro, or not one that is decoded with.
    #[error("its schema {id} is not used: {reason}")]
    Schema {
        /// Its id.
        id: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The schema describes another record.
    #[error("its schema {id} describes {found}, and its topic carries {wanted}")]
    OtherRecord {
        /// Its id.
        id: u32,
        /// What it describes.
        found: String,
        /// What it should describe.
        wanted: String,
    },
    /// The id stands for nothing, or for another record, and our own schema can read the body.
    #[error(
        "{why}; but our own schema can read its body: the registry may have come back with other \
         ids, and a redrive reads it so"
    )]
    Renumbered {
        /// What is wrong with the id.
        why: String,
    },
    /// The bytes are not what the schema describes.
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
    /// Whether the schema id is at fault: it stands for nothing, or for another record.
    pub(super) fn is_of_the_id(&self) -> bool {
        matches!(self, Self::UnknownId(_) | Self::OtherRecord { .. })
    }
}
