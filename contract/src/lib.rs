//! The contract between the services: records, topics, keys.
//!
//! One kind of event, one record, one topic, one schema file in `schemas/`. The key of a message
//! is the order's id; for products it is the SKU.
//!
//! **Architecture invariant:** released records stay readable for ever, both ways: an old service
//! reads records of a new one, and a new service reads records of an old one. Fields are only added
//! or removed, and only fields with a default. Any other change is a new kind of event.
//!
//! **Architecture invariant:** personal data (the customer's email and name) is sent only in
//! `order-placed`, whose retention is bounded. No record ever carries a card number.

#![warn(missing_docs)]

use shared::{codec::RecordKind, topics::TopicSpec};

pub use inventory::{
    MissingLine, ProductChanged, StockLine, StockRejected, StockReleased, StockReserved,
};
pub use notify::{NotificationFailed, NotificationSent};
pub use order::{OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced};
pub use payment::{PaymentDone, PaymentFailed, PaymentRefunded, PaymentUnderReview};

pub mod currency;
mod inventory;
mod notify;
mod order;
mod payment;

/// Carries [`OrderPlaced`]: an order was accepted.
pub const ORDER_PLACED: &str = "order-placed";
/// Carries [`OrderConfirmed`]: an order was paid for, its stock held.
pub const ORDER_CONFIRMED: &str = "order-confirmed";
/// Carries [`OrderCancelled`]: an order was given up.
pub const ORDER_CANCELLED: &str = "order-cancelled";
/// Carries [`StockReserved`]: stock was reserved for an order.
pub const STOCK_RESERVED: &str = "stock-reserved";
/// Carries [`StockRejected`]: stock could not be reserved for an order.
pub const STOCK_REJECTED: &str = "stock-rejected";
/// Carries [`StockReleased`]: reserved stock is available again.
pub const STOCK_RELEASED: &str = "stock-released";
/// Carries [`ProductChanged`], the last word per SKU.
pub const PRODUCT_CHANGED: &str = "product-changed";
/// Carries [`PaymentDone`]: an order was paid for.
pub const PAYMENT_DONE: &str = "payment-done";
/// Carries [`PaymentFailed`]: an order could not be paid for.
pub const PAYMENT_FAILED: &str = "payment-failed";
/// Carries [`PaymentRefunded`]: a charge was refunded.
pub const PAYMENT_REFUNDED: &str = "payment-refunded";
/// Carries [`PaymentUnderReview`]: a charge or a refund waits for a person.
pub const PAYMENT_UNDER_REVIEW: &str = "payment-under-review";
/// Carries [`NotificationSent`]: a customer was notified.
pub const NOTIFICATION_SENT: &str = "notification-sent";
/// Carries [`NotificationFailed`]: a customer could not be notified.
pub const NOTIFICATION_FAILED: &str = "notification-failed";

/// Every topic of this system and how it is made: the only place that says so.
pub const TOPICS: [TopicSpec; 17] = [
    TopicSpec::events(ORDER_PLACED),
    TopicSpec::events(ORDER_CONFIRMED),
    TopicSpec::events(ORDER_CANCELLED),
    TopicSpec::events(STOCK_RESERVED),
    TopicSpec::events(STOCK_REJECTED),
    TopicSpec::events(STOCK_RELEASED),
    TopicSpec::latest(PRODUCT_CHANGED),
    TopicSpec::events(PAYMENT_DONE),
    TopicSpec::events(PAYMENT_FAILED),
    TopicSpec::events(PAYMENT_REFUNDED),
    TopicSpec::events(PAYMENT_UNDER_REVIEW),
    TopicSpec::events(NOTIFICATION_SENT),
    TopicSpec::events(NOTIFICATION_FAILED),
    TopicSpec::dead_letters("order-service.dlq"),
    TopicSpec::dead_letters("inventory-service.dlq"),
    TopicSpec::dead_letters("payment-service.dlq"),
    TopicSpec::dead_letters("notify-service.dlq"),
];

/// Every kind of record, one for each topic of events.
pub fn record_kinds() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
        RecordKind::of::<StockReserved>(),
        RecordKind::of::<StockRejected>(),
        RecordKind::of::<StockReleased>(),
        RecordKind::of::<ProductChanged>(),
        RecordKind::of::<PaymentDone>(),
        RecordKind::of::<PaymentFailed>(),
        RecordKind::of::<PaymentRefunded>(),
        RecordKind::of::<PaymentUnderReview>(),
        RecordKind::of::<NotificationSent>(),
        RecordKind::of::<NotificationFailed>(),
    ]
}

/// The `ce_source` of a service.
pub fn source(service: &str) -> String {
    format!("/shop/{service}")
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
