//! A request to an order's notifications, from messages or from the results of jobs.

use shared::message::TraceContext;
use uuid::Uuid;

use crate::domain::notification::NotificationCommand;

/// A command for the notifications of one order, with its trace.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationRequest {
    pub order_id: Uuid,
    pub command: NotificationCommand,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}
