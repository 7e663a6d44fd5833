//! What the payment service says.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PAYMENT_DONE, PAYMENT_FAILED, PAYMENT_REFUNDED, Record, micros};

/// An order is paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDone {
    /// The order.
    pub order_id: Uuid,
    /// The gateway's name for the charge.
    pub charge_id: String,
    /// What was charged, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When.
    #[serde(with = "micros")]
    pub paid_at: OffsetDateTime,
}

impl Record for PaymentDone {
    const TOPIC: &'static str = PAYMENT_DONE;
    const TYPE: &'static str = "shop.payments.payment-done.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/payment-done.avsc");
}

/// An order will not be paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// The order.
    pub order_id: Uuid,
    /// `declined` or `unavailable`.
    pub reason: String,
    /// The gateway's code for a decline.
    pub code: Option<String>,
    /// When.
    #[serde(with = "micros")]
    pub failed_at: OffsetDateTime,
}

impl Record for PaymentFailed {
    const TOPIC: &'static str = PAYMENT_FAILED;
    const TYPE: &'static str = "shop.payments.payment-failed.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/payment-failed.avsc");
}

/// What was charged was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The order.
    pub order_id: Uuid,
    /// The gateway's name for the refund.
    pub refund_id: String,
    /// What was given back, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When.
    #[serde(with = "micros")]
    pub refunded_at: OffsetDateTime,
}

impl Record for PaymentRefunded {
    const TOPIC: &'static str = PAYMENT_REFUNDED;
    const TYPE: &'static str = "shop.payments.payment-refunded.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/payment-refunded.avsc");
}
