//! A request to an order, from customers, messages or the deadline.

use shared::message::{MessageEnvelope, TraceContext};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::order::OrderCommand;

/// A command for one order, with its origin.
#[derive(Clone, Debug)]
pub struct OrderRequest {
    pub order_id: Uuid,
    pub command: OrderCommand,
    /// The message that carried the command, if any.
    pub heard: Option<MessageOrigin>,
    /// The trace that the request belongs to.
    pub trace: Option<TraceContext>,
}

/// The message that carried a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageOrigin {
    pub message_id: Uuid,
    pub source: String,
    pub sequence: i64,
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
