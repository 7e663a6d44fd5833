//! Events of other services that concern an order.

use crate::domain::{catalogue::Sku, money::Money};

/// An event of another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// Inventory holds every line.
    StockReserved,
    /// Inventory cannot hold every line and holds none.
    StockRejected { missing: Vec<MissingLine> },
    /// Inventory released the lines that were held or sold.
    StockReleased,
    /// The order is paid for.
    PaymentDone {
        paid: Money,
        /// The gateway's name for the charge.
        charge: String,
    },
    /// The order will not be paid for.
    PaymentFailed {
        failure: PaymentFailure,
        /// The gateway's code for a decline.
        code: Option<String>,
    },
    /// The charge was refunded.
    PaymentRefunded {
        refunded: Money,
        /// The gateway's name for the refund.
        refund: String,
    },
    /// A charge or a refund waits for a person's decision.
    PaymentUnderReview {
        /// Why, as payment-service names it. A name that is not known here is shown all the same.
        reason: String,
    },
    /// The customer was told.
    NotificationSent {
        /// The kind and the channel.
        channel: NoticeChannel,
    },
    /// The customer could not be told.
    NotificationFailed {
        /// The kind and the channel.
        channel: NoticeChannel,
        reason: String,
    },
}

/// A line that was short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingLine {
    pub sku: Sku,
    pub requested: i32,
    pub available: i32,
}

/// How a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentFailure {
    /// The gateway said no.
    Declined,
    /// The gateway could not be asked.
    Unavailable,
}

/// A notification: its channel and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeChannel {
    pub name: String,
    pub kind: String,
}
