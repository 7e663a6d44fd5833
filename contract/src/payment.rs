//! The events of the payment service.

use serde::{Deserialize, Serialize};
use shared::codec::{Record, timestamp_micros};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PAYMENT_DONE, PAYMENT_FAILED, PAYMENT_REFUNDED, PAYMENT_UNDER_REVIEW};

/// An order is paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDone {
    /// The order that is paid.
    pub order_id: Uuid,
    /// The gateway's id of the charge.
    pub charge_id: String,
    /// The charged amount, in minor units.
    pub amount_minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// When the gateway accepted the charge, UTC.
    #[serde(with = "timestamp_micros")]
    pub paid_at: OffsetDateTime,
}

impl Record for PaymentDone {
    const TOPIC: &'static str = PAYMENT_DONE;
    const TYPE: &'static str = "shop.payments.payment-done.v1";
    const SCHEMA: &'static str = include_str!("../schemas/payment-done.avsc");
}

/// An order will not be paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// The order that could not be paid.
    pub order_id: Uuid,
    /// Why it failed: `declined` or `unavailable`.
    pub reason: String,
    /// The gateway's code for a decline.
    pub code: Option<String>,
    /// When the payment was given up, UTC.
    #[serde(with = "timestamp_micros")]
    pub failed_at: OffsetDateTime,
}

impl Record for PaymentFailed {
    const TOPIC: &'static str = PAYMENT_FAILED;
    const TYPE: &'static str = "shop.payments.payment-failed.v1";
    const SCHEMA: &'static str = include_str!("../schemas/payment-failed.avsc");
}

/// A charge was refunded to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The order whose charge was refunded.
    pub order_id: Uuid,
    /// The gateway's id of the refund.
    pub refund_id: String,
    /// The refunded amount, in minor units.
    pub amount_minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// When the gateway accepted the refund, UTC.
    #[serde(with = "timestamp_micros")]
    pub refunded_at: OffsetDateTime,
}

impl Record for PaymentRefunded {
    const TOPIC: &'static str = PAYMENT_REFUNDED;
    const TYPE: &'static str = "shop.payments.payment-refunded.v1";
    const SCHEMA: &'static str = include_str!("../schemas/payment-refunded.avsc");
}

/// A charge or a refund waits for a person's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentUnderReview {
    /// The order whose payment waits.
    pub order_id: Uuid,
    /// What waits: `charge` or `refund`.
    pub operation: String,
    /// Why: `wrong-amount` or `charge-in-doubt` of a charge; `refund-failed`, `charge-disputed` or
    /// `charge-unknown` of a refund.
    pub reason: String,
    /// Since when it waits, UTC.
    #[serde(with = "timestamp_micros")]
    pub since: OffsetDateTime,
}

impl Record for PaymentUnderReview {
    const TOPIC: &'static str = PAYMENT_UNDER_REVIEW;
    const TYPE: &'static str = "shop.payments.payment-under-review.v1";
    const SCHEMA: &'static str = include_str!("../schemas/payment-under-review.avsc");
}
