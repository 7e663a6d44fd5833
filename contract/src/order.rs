//! The events of the order service.

use serde::{Deserialize, Serialize};
use shared::codec::{Record, timestamp_micros};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_PLACED};

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "OrderLine")]
pub struct OrderLine {
    /// The product, by its stock keeping unit.
    pub sku: String,
    /// How many pieces are ordered; at least 1.
    pub quantity: i32,
    /// The price of one piece, in minor units of the order's currency.
    pub unit_price_minor: i64,
}

/// An order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The id that the REST answer gave.
    pub order_id: Uuid,
    /// The order's lines, at least one, each SKU once.
    pub lines: Vec<OrderLine>,
    /// The order's total, in minor units.
    pub total_minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// The payment method's token; never a card number.
    pub payment_method: String,
    /// The customer's mail address for notifications.
    pub email: String,
    /// The customer's name, if given.
    pub customer_name: Option<String>,
    /// When the order was accepted, UTC.
    #[serde(with = "timestamp_micros")]
    pub placed_at: OffsetDateTime,
    /// When the order is cancelled if it has not ended by then.
    #[serde(with = "timestamp_micros")]
    pub due_at: OffsetDateTime,
}

impl Record for OrderPlaced {
    const TOPIC: &'static str = ORDER_PLACED;
    const TYPE: &'static str = "shop.orders.order-placed.v1";
    const SCHEMA: &'static str = include_str!("../schemas/order-placed.avsc");
}

/// An order is paid for and its stock is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order that is confirmed.
    pub order_id: Uuid,
    /// The order's total, in minor units.
    pub total_minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// When the order was confirmed, UTC.
    #[serde(with = "timestamp_micros")]
    pub confirmed_at: OffsetDateTime,
}

impl Record for OrderConfirmed {
    const TOPIC: &'static str = ORDER_CONFIRMED;
    const TYPE: &'static str = "shop.orders.order-confirmed.v1";
    const SCHEMA: &'static str = include_str!("../schemas/order-confirmed.avsc");
}

/// An order was cancelled; services that hold stock or money for it release that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order that is cancelled.
    pub order_id: Uuid,
    /// `out-of-stock`, `payment-declined`, `payment-unavailable`, `timed-out`, `requested`.
    pub reason: String,
    /// Who cancelled it: `customer` or `system`.
    pub cancelled_by: String,
    /// When the order was cancelled, UTC.
    #[serde(with = "timestamp_micros")]
    pub cancelled_at: OffsetDateTime,
}

impl Record for OrderCancelled {
    const TOPIC: &'static str = ORDER_CANCELLED;
    const TYPE: &'static str = "shop.orders.order-cancelled.v1";
    const SCHEMA: &'static str = include_str!("../schemas/order-cancelled.avsc");
}
