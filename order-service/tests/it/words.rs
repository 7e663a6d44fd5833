//! Messages of the other services in these tests.

use contract::{
    MissingLine, PaymentDone, PaymentFailed, PaymentUnderReview, StockLine, StockRejected,
    StockReserved,
};
use uuid::Uuid;

use crate::kit::NOW;

pub(crate) fn reserved(order_id: Uuid) -> StockReserved {
    let lines = vec![StockLine { sku: "tea".to_owned(), quantity: 2 }];
    StockReserved { order_id, lines, reserved_at: NOW }
}

pub(crate) fn rejected(order_id: Uuid) -> StockRejected {
    let missing = vec![MissingLine { sku: "tea".to_owned(), requested: 2, available: 1 }];
    StockRejected { order_id, missing, rejected_at: NOW }
}

pub(crate) fn paid(order_id: Uuid, amount_minor: i64) -> PaymentDone {
    let (charge_id, currency) = ("ch_1".to_owned(), "EUR".to_owned());
    PaymentDone { order_id, charge_id, amount_minor, currency, paid_at: NOW }
}

pub(crate) fn failed(order_id: Uuid, reason: &str) -> PaymentFailed {
    PaymentFailed { order_id, reason: reason.to_owned(), code: None, failed_at: NOW }
}

pub(crate) fn under_review(order_id: Uuid, operation: &str, reason: &str) -> PaymentUnderReview {
    let (operation, reason) = (operation.to_owned(), reason.to_owned());
    PaymentUnderReview { order_id, operation, reason, since: NOW }
}
