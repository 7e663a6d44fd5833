//! Problem types that only this service has. Each has its page in `docs/errors`.

use axum::http::StatusCode;
use shared::http::{Problem, ProblemExample, ProblemPage, ProblemType, problem};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::domain::{draft::DraftFault, order::OrderRejection};

/// Products that do not exist, are not sold now, or cost something else than was thought.
pub const NOT_ORDERABLE: ProblemType = ProblemType {
    code: "not-orderable",
    title: "Some of this cannot be ordered",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    example: &ProblemExample::Part {
        pointer: "/lines/0/sku",
        code: "unknown-sku",
        detail: "there is no such product",
    },
};
/// There is no such order.
pub const ORDER_NOT_FOUND: ProblemType = ProblemType {
    code: "order-not-found",
    title: "There is no such order",
    status: StatusCode::NOT_FOUND,
    example: &ProblemExample::Detail(
        "no order has the id 01a20fcc-a92c-76ef-87b5-a07309aa9900: use the one that POST /orders answered",
    ),
};
/// The order was confirmed too long ago.
pub const TOO_LATE_TO_CANCEL: ProblemType = ProblemType {
    code: "too-late-to-cancel",
    title: "The order can no longer be cancelled",
    status: StatusCode::CONFLICT,
    example: &ProblemExample::Detail(
        "the order was confirmed at 2026-01-02T03:04:05Z and could be cancelled until \
         2026-01-02T03:34:05Z: it stays confirmed",
    ),
};

pub const ALL: &[ProblemType] = &[NOT_ORDERABLE, ORDER_NOT_FOUND, TOO_LATE_TO_CANCEL];

pub const PAGES: &[ProblemPage] =
    shared::pages!["not-orderable", "order-not-found", "too-late-to-cancel"];

/// The faults of an order's lines that do not depend on the products.
pub(super) fn invalid(faults: &[DraftFault]) -> Problem {
    point_out(problem::INVALID_BODY.in_parts(), faults)
}

/// The faults that concern the products.
pub(super) fn not_orderable(faults: &[DraftFault]) -> Problem {
    point_out(NOT_ORDERABLE.in_parts(), faults)
}

fn point_out(problem: Problem, faults: &[DraftFault]) -> Problem {
    faults.iter().fold(problem, |problem, fault| {
        let (pointer, code) = match fault {
            DraftFault::LineCount => ("/lines".to_owned(), "line-count"),
            DraftFault::SkuTwice { line } => (sku(*line), "duplicate-sku"),
            DraftFault::UnknownSku { line } => (sku(*line), "unknown-sku"),
            DraftFault::Inactive { line } => (sku(*line), "inactive-sku"),
            DraftFault::OtherCurrency { .. } => ("/currency".to_owned(), "other-currency"),
            DraftFault::TotalTooLarge | DraftFault::TotalAboveLimit { .. } => {
                ("/lines".to_owned(), "total-too-large")
            }
        };
        problem.with_error(pointer, code, fault.to_string())
    })
}

fn sku(line: usize) -> String {
    format!("/lines/{line}/sku")
}

/// No order has this id.
pub(super) fn not_found(order_id: Uuid) -> Problem {
    ORDER_NOT_FOUND
        .detail(format!("no order has the id {order_id}: use the one that POST /orders answered"))
}

/// Why an order is not cancelled.
pub(super) fn rejected(order_id: Uuid, rejection: &OrderRejection) -> Problem {
    match rejection {
        OrderRejection::Unknown => not_found(order_id),
        OrderRejection::TooLate { confirmed_at, closed_at } => {
            let time = |at: &OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
            TOO_LATE_TO_CANCEL.detail(format!(
                "the order was confirmed at {} and could be cancelled until {}: it stays confirmed",
                time(confirmed_at),
                time(closed_at)
            ))
        }
        // Rejections of messages; customers never get them.
        OrderRejection::AlreadyPlaced
        | OrderRejection::Contradiction
        | OrderRejection::PaidOtherwise { .. } => Problem::internal(rejection),
    }
}
