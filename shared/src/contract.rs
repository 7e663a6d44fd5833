//! What the services say to each other: records, topics, keys.

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use uuid::Uuid;

/// A topic and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name, without the deployment's prefix.
    pub name: &'static str,
}

/// A record: the body of the messages of one topic.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// The topic that carries it. One kind of event, one topic.
    const TOPIC: &'static str;
    /// Its `ce_type`.
    const TYPE: &'static str;
    /// Its Avro schema, as committed.
    const SCHEMA: &'static str;
}

macro_rules! topics { ($($name:ident = $text:literal;)*) => { $(#[doc = concat!("The topic `", $text, "`.")] pub const $name: &str = $text;)* } }
topics! {
    ORDER_PLACED = "order-placed";
    ORDER_CONFIRMED = "order-confirmed";
    ORDER_CANCELLED = "order-cancelled";
    STOCK_RESERVED = "stock-reserved";
    STOCK_REJECTED = "stock-rejected";
    STOCK_RELEASED = "stock-released";
    PRODUCT_CHANGED = "product-changed";
    PAYMENT_DONE = "payment-done";
    PAYMENT_FAILED = "payment-failed";
    PAYMENT_REFUNDED = "payment-refunded";
    NOTIFICATION_SENT = "notification-sent";
    NOTIFICATION_FAILED = "notification-failed";
}

macro_rules! record {
    ($(#[$doc:meta])* $name:ident, $topic:ident, $ty:literal { $($(#[$fdoc:meta])* $field:ident : $t:ty),* $(,)? }) => {
        $(#[$doc])* #[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$fdoc])* pub $field: $t),* }
        impl Record for $name { const TOPIC: &'static str = $topic; const TYPE: &'static str = $ty; const SCHEMA: &'static str = ""; }
    };
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Line {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i32,
    /// The price of one, in minor units of the order's currency.
    pub unit_price_minor: i64,
}
/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct StockLine {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i32,
}
/// A line that could not be reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct MissingLine {
    /// What.
    pub sku: String,
    /// How many were asked for.
    pub requested: i32,
    /// How many there were.
    pub available: i32,
}
record! {
    /// An order was accepted.
    OrderPlaced, ORDER_PLACED, "order-placed" {
        /// The order.
        order_id: Uuid,
        /// Its lines, at least one, each SKU once.
        lines: Vec<Line>,
        /// What it costs, in minor units.
        total_minor: i64,
        /// ISO 4217.
        currency: String,
        /// The payment method's token; never a card number.
        payment_method: String,
        /// Where the customer is told.
        email: String,
        /// What the customer is called.
        customer_name: Option<String>,
        /// When it was accepted.
        placed_at: OffsetDateTime,
        /// When it is cancelled if it has not ended by then.
        due_at: OffsetDateTime,
    }
}
record! {
    /// An order is paid for and its stock is held.
    OrderConfirmed, ORDER_CONFIRMED, "order-confirmed" {
        /// The order.
        order_id: Uuid,
        /// What it cost, in minor units.
        total_minor: i64,
        /// ISO 4217.
        currency: String,
        /// When.
        confirmed_at: OffsetDateTime,
    }
}
record! {
    /// An order was given up; whoever holds anything for it lets go.
    OrderCancelled, ORDER_CANCELLED, "order-cancelled" {
        /// The order.
        order_id: Uuid,
        /// `out-of-stock`, `payment-declined`, `payment-unavailable`, `timed-out`, `requested`.
        reason: String,
        /// `customer` or `system`.
        cancelled_by: String,
        /// When.
        cancelled_at: OffsetDateTime,
    }
}
record! {
    /// Every line of an order is held.
    StockReserved, STOCK_RESERVED, "stock-reserved" {
        /// The order.
        order_id: Uuid,
        /// What is held.
        lines: Vec<StockLine>,
        /// When.
        reserved_at: OffsetDateTime,
    }
}
record! {
    /// An order's lines cannot all be held; none is.
    StockRejected, STOCK_REJECTED, "stock-rejected" {
        /// The order.
        order_id: Uuid,
        /// What was short.
        missing: Vec<MissingLine>,
        /// When.
        rejected_at: OffsetDateTime,
    }
}
record! {
    /// What was held or sold for an order is available again.
    StockReleased, STOCK_RELEASED, "stock-released" {
        /// The order.
        order_id: Uuid,
        /// What was let go.
        lines: Vec<StockLine>,
        /// When.
        released_at: OffsetDateTime,
    }
}
record! {
    /// A product is new or has changed. The last word per SKU is kept for ever.
    ProductChanged, PRODUCT_CHANGED, "product-changed" {
        /// The product.
        sku: String,
        /// What people call it.
        name: String,
        /// The price of one, in minor units.
        price_minor: i64,
        /// ISO 4217.
        currency: String,
        /// Whether it can be ordered.
        active: bool,
        /// When.
        changed_at: OffsetDateTime,
    }
}
record! {
    /// An order is paid for.
    PaymentDone, PAYMENT_DONE, "payment-done" {
        /// The order.
        order_id: Uuid,
        /// The gateway's name for the charge.
        charge_id: String,
        /// What was charged, in minor units.
        amount_minor: i64,
        /// ISO 4217.
        currency: String,
        /// When.
        paid_at: OffsetDateTime,
    }
}
record! {
    /// An order will not be paid for.
    PaymentFailed, PAYMENT_FAILED, "payment-failed" {
        /// The order.
        order_id: Uuid,
        /// `declined` or `unavailable`.
        reason: String,
        /// The gateway's code for a decline.
        code: Option<String>,
        /// When.
        failed_at: OffsetDateTime,
    }
}
record! {
    /// What was charged was given back.
    PaymentRefunded, PAYMENT_REFUNDED, "payment-refunded" {
        /// The order.
        order_id: Uuid,
        /// The gateway's name for the refund.
        refund_id: String,
        /// What was given back, in minor units.
        amount_minor: i64,
        /// ISO 4217.
        currency: String,
        /// When.
        refunded_at: OffsetDateTime,
    }
}
record! {
    /// The customer was told.
    NotificationSent, NOTIFICATION_SENT, "notification-sent" {
        /// The order.
        order_id: Uuid,
        /// `email`.
        channel: String,
        /// `confirmed`, `cancelled` or `refunded`.
        kind: String,
        /// The `Message-ID` of the mail.
        message_id: String,
        /// When.
        sent_at: OffsetDateTime,
    }
}
record! {
    /// The customer could not be told.
    NotificationFailed, NOTIFICATION_FAILED, "notification-failed" {
        /// The order.
        order_id: Uuid,
        /// `email`.
        channel: String,
        /// `confirmed`, `cancelled` or `refunded`.
        kind: String,
        /// Why.
        reason: String,
        /// When it was given up.
        failed_at: OffsetDateTime,
    }
}
