//! What is asked of an order, by customers, messages and the deadline alike.

use shared::message::{MessageEnvelope, TraceParent};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::order::OrderCommand;

/// What is asked of one order.
#[derive(Clone, Debug)]
pub struct OrderRequest {
    /// The order.
    pub order_id: Uuid,
    /// What is asked.
    pub command: OrderCommand,
    /// The message that brought it, if one did.
    pub heard: Option<MessageOrigin>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// The message that brought a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageOrigin {
    /// Its `ce_id`.
    pub message_id: Uuid,
    /// Its `ce_source`.
    pub source: String,
    /// Its `ce_sequence`.
    pub sequence: i64,
    /// Its `ce_time`.
    pub at: OffsetDateTime,
}

impl From<&MessageEnvelope> for MessageOrigin {
    fn from(envelope: &MessageEnvelope) -> Self {
        Self {
            message_id: envelope.id,
            source: envelope.source.to_string(),
            sequence: envelope.sequence,
            at: envelope.time,
        }
    }
}
