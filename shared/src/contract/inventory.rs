//! What the inventory service says.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PRODUCT_CHANGED, Record, STOCK_REJECTED, STOCK_RELEASED, STOCK_RESERVED, micros};

/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i32,
}

/// Every line of an order is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The order.
    pub order_id: Uuid,
    /// What is held.
    pub lines: Vec<StockLine>,
    /// When.
    #[serde(with = "micros")]
    pub reserved_at: OffsetDateTime,
}

impl Record for StockReserved {
    const TOPIC: &'static str = STOCK_RESERVED;
    const TYPE: &'static str = "shop.inventory.stock-reserved.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/stock-reserved.avsc");
}

/// A line that could not be reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingLine {
    /// What.
    pub sku: String,
    /// How many were asked for.
    pub requested: i32,
    /// How many there were.
    pub available: i32,
}

/// An order's lines cannot all be held; none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRejected {
    /// The order.
    pub order_id: Uuid,
    /// What was short.
    pub missing: Vec<MissingLine>,
    /// When.
    #[serde(with = "micros")]
    pub rejected_at: OffsetDateTime,
}

impl Record for StockRejected {
    const TOPIC: &'static str = STOCK_REJECTED;
    const TYPE: &'static str = "shop.inventory.stock-rejected.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/stock-rejected.avsc");
}

/// What was held or sold for an order is available again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The order.
    pub order_id: Uuid,
    /// What was let go.
    pub lines: Vec<StockLine>,
    /// When.
    #[serde(with = "micros")]
    pub released_at: OffsetDateTime,
}

impl Record for StockReleased {
    const TOPIC: &'static str = STOCK_RELEASED;
    const TYPE: &'static str = "shop.inventory.stock-released.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/stock-released.avsc");
}

/// A product is new or has changed. The last word per SKU is kept for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductChanged {
    /// The product.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// The price of one, in minor units.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Whether it can be ordered.
    pub active: bool,
    /// When.
    #[serde(with = "micros")]
    pub changed_at: OffsetDateTime,
}

impl Record for ProductChanged {
    const TOPIC: &'static str = PRODUCT_CHANGED;
    const TYPE: &'static str = "shop.inventory.product-changed.v1";
    const SCHEMA: &'static str = include_str!("../../schemas/product-changed.avsc");
}
