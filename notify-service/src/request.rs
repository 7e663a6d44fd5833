//! What is asked of an order's notifications, by messages and by the results of jobs.

use shared::message::TraceParent;
use uuid::Uuid;

use crate::domain::notification::NotificationCommand;

/// What is asked of the notifications of one order.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationRequest {
    /// The order.
    pub order_id: Uuid,
    /// What is asked.
    pub command: NotificationCommand,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}
