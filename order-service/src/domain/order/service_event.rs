//! What other services say of an order, as far as an order cares.

use crate::domain::{catalogue::Sku, money::Money};

/// What another service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// Inventory holds every line.
    StockReserved,
    /// Inventory cannot hold every line and holds none.
    StockRejected {
        /// What was short.
        missing: Vec<MissingLine>,
    },
    /// Inventory let go of what it held or had sold.
    StockReleased,
    /// The order is paid for.
    PaymentDone {
        /// What was charged.
        paid: Money,
        /// The gateway's name for the charge.
        charge: String,
    },
    /// The order will not be paid for.
    PaymentFailed {
        /// How it failed.
        failure: PaymentFailure,
        /// The gateway's code for a decline.
        code: Option<String>,
    },
    /// What was charged was given back.
    PaymentRefunded {
        /// What was given back.
        refunded: Money,
        /// The gateway's name for the refund.
        refund: String,
    },
    /// The customer was told.
    NotificationSent {
        /// What of, and how.
        channel: NoticeChannel,
    },
    /// The customer could not be told.
    NotificationFailed {
        /// What of, and how.
        channel: NoticeChannel,
        /// Why.
        reason: String,
    },
}

/// A line that was short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingLine {
    /// What.
    pub sku: Sku,
    /// How many were asked for.
    pub requested: i32,
    /// How many there were.
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

/// What a customer is told of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeChannel {
    /// `email`, …
    pub name: String,
    /// `confirmed`, `cancelled`, …
    pub kind: String,
}
