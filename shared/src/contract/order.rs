//! What the order service says.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_PLACED, Record, micros};

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "OrderLine")]
pub struct OrderLine {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i32,
    /// The price of one, in minor units of the order's currency.
    pub unit_price_minor: i64,
}

/// An order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order.
    pub order_id: Uuid,
    /// Its lines, at least one, each SKU once.
    pub lines: Vec<OrderLine>,
    /// What it costs, in minor units.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The payment method's token; never a card number.
    pub payment_method: String,
    /// Where the customer is told.
    pub email: String,
    /// What the customer is called.
    pub customer_name: Option<String>,
    /// When it was accepted.
    #[serde(with = "micros")]
    pub placed_at: OffsetDateTime,
    /// When it is cancelled if it has not ended by then.
    #[serde(with = "micros")]
    pub due_at: OffsetDateTime,
}

impl Record for OrderPlaced {
    const TOPIC: &'static str = ORDER_PLACED;
    const TYPE: &'static str = "shop.orders.order-placed.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/order-placed.avsc");
}

/// An order is paid for and its stock is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: Uuid,
    /// What it cost, in minor units.
    pub total_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When.
    #[serde(with = "micros")]
    pub confirmed_at: OffsetDateTime,
}

impl Record for OrderConfirmed {
    const TOPIC: &'static str = ORDER_CONFIRMED;
    const TYPE: &'static str = "shop.orders.order-confirmed.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/order-confirmed.avsc");
}

/// An order was given up; whoever holds anything for it lets go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order_id: Uuid,
    /// `out-of-stock`, `payment-declined`, `payment-unavailable`, `timed-out`, `requested`.
    pub reason: String,
    /// `customer` or `system`.
    pub cancelled_by: String,
    /// When.
    #[serde(with = "micros")]
    pub cancelled_at: OffsetDateTime,
}

impl Record for OrderCancelled {
    const TOPIC: &'static str = ORDER_CANCELLED;
    const TYPE: &'static str = "shop.orders.order-cancelled.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/order-cancelled.avsc");
}
