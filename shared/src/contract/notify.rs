//! What the notify service says.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NOTIFICATION_FAILED, NOTIFICATION_SENT, Record, micros};

/// The customer was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationSent {
    /// The order.
    pub order_id: Uuid,
    /// `email`.
    pub channel: String,
    /// `confirmed`, `cancelled` or `refunded`.
    pub kind: String,
    /// The `Message-ID` of the mail.
    pub message_id: String,
    /// When.
    #[serde(with = "micros")]
    pub sent_at: OffsetDateTime,
}

impl Record for NotificationSent {
    const TOPIC: &'static str = NOTIFICATION_SENT;
    const TYPE: &'static str = "shop.notifications.notification-sent.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/notification-sent.avsc");
}

/// The customer could not be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationFailed {
    /// The order.
    pub order_id: Uuid,
    /// `email`.
    pub channel: String,
    /// `confirmed`, `cancelled` or `refunded`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// When it was given up.
    #[serde(with = "micros")]
    pub failed_at: OffsetDateTime,
}

impl Record for NotificationFailed {
    const TOPIC: &'static str = NOTIFICATION_FAILED;
    const TYPE: &'static str = "shop.notifications.notification-failed.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/notification-failed.avsc");
}
