//! The events of the inventory service.

use serde::{Deserialize, Serialize};
use shared::codec::{Record, timestamp_micros};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PRODUCT_CHANGED, STOCK_REJECTED, STOCK_RELEASED, STOCK_RESERVED};

/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    /// The product, by its stock keeping unit.
    pub sku: String,
    /// How many pieces are reserved; at least 1.
    pub quantity: i32,
}

/// The stock for every line of an order is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The order for which the stock was reserved.
    pub order_id: Uuid,
    /// One line per product, all of them reserved.
    pub lines: Vec<StockLine>,
    /// When the reservation was made, UTC.
    #[serde(with = "timestamp_micros")]
    pub reserved_at: OffsetDateTime,
}

impl Record for StockReserved {
    const TOPIC: &'static str = STOCK_RESERVED;
    const TYPE: &'static str = "shop.inventory.stock-reserved.v1";
    const SCHEMA: &'static str = include_str!("../schemas/stock-reserved.avsc");
}

/// A line that could not be reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingLine {
    /// The product, by its stock keeping unit.
    pub sku: String,
    /// How many pieces were asked for.
    pub requested: i32,
    /// How many pieces were available.
    pub available: i32,
}

/// An order's lines cannot all be reserved; none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRejected {
    /// The order for which nothing was reserved.
    pub order_id: Uuid,
    /// Each product of which too little was available.
    pub missing: Vec<MissingLine>,
    /// When the reservation was refused, UTC.
    #[serde(with = "timestamp_micros")]
    pub rejected_at: OffsetDateTime,
}

impl Record for StockRejected {
    const TOPIC: &'static str = STOCK_REJECTED;
    const TYPE: &'static str = "shop.inventory.stock-rejected.v1";
    const SCHEMA: &'static str = include_str!("../schemas/stock-rejected.avsc");
}

/// Stock that was reserved or sold for an order is available again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The order whose reservation has ended.
    pub order_id: Uuid,
    /// The lines whose stock was released.
    pub lines: Vec<StockLine>,
    /// When the stock became available again, UTC.
    #[serde(with = "timestamp_micros")]
    pub released_at: OffsetDateTime,
}

impl Record for StockReleased {
    const TOPIC: &'static str = STOCK_RELEASED;
    const TYPE: &'static str = "shop.inventory.stock-released.v1";
    const SCHEMA: &'static str = include_str!("../schemas/stock-released.avsc");
}

/// A product is new or has changed. The latest record per SKU is kept for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductChanged {
    /// The product, by its stock keeping unit.
    pub sku: String,
    /// The product's name for customers.
    pub name: String,
    /// The price of one piece, in minor units.
    pub price_minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// Whether it can be ordered.
    pub active: bool,
    /// When the product was changed, UTC.
    #[serde(with = "timestamp_micros")]
    pub changed_at: OffsetDateTime,
}

impl Record for ProductChanged {
    const TOPIC: &'static str = PRODUCT_CHANGED;
    const TYPE: &'static str = "shop.inventory.product-changed.v1";
    const SCHEMA: &'static str = include_str!("../schemas/product-changed.avsc");
}
