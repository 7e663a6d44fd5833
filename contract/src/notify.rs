//! The events of the notify service.

use serde::{Deserialize, Serialize};
use shared::codec::{Record, timestamp_micros};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NOTIFICATION_FAILED, NOTIFICATION_SENT};

/// The customer was notified by mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationSent {
    /// The order that the notification is about.
    pub order_id: Uuid,
    /// How the customer is notified: `email`.
    pub channel: String,
    /// `confirmed`, `cancelled` or `refunded`.
    pub kind: String,
    /// The `Message-ID` of the mail.
    pub message_id: String,
    /// When the mail server accepted the message, UTC.
    #[serde(with = "timestamp_micros")]
    pub sent_at: OffsetDateTime,
}

impl Record for NotificationSent {
    const TOPIC: &'static str = NOTIFICATION_SENT;
    const TYPE: &'static str = "shop.notifications.notification-sent.v1";
    const SCHEMA: &'static str = include_str!("../schemas/notification-sent.avsc");
}

/// The customer could not be notified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationFailed {
    /// The order that the notification was about.
    pub order_id: Uuid,
    /// How the customer is notified: `email`.
    pub channel: String,
    /// `confirmed`, `cancelled` or `refunded`.
    pub kind: String,
    /// The last failure, for an operator.
    pub reason: String,
    /// When the notification was given up, UTC.
    #[serde(with = "timestamp_micros")]
    pub failed_at: OffsetDateTime,
}

impl Record for NotificationFailed {
    const TOPIC: &'static str = NOTIFICATION_FAILED;
    const TYPE: &'static str = "shop.notifications.notification-failed.v1";
    const SCHEMA: &'static str = include_str!("../schemas/notification-failed.avsc");
}
