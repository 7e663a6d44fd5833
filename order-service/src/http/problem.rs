//! Problem types that only this service has. Each has its page in `docs/errors`.

use axum::http::StatusCode;
use shared::http::{Problem, ProblemPage, ProblemType, problem};

use crate::domain::{draft::DraftFault, order::OrderRejection};

/// Products that do not exist, are not sold now, or cost something else than was thought.
pub const NOT_ORDERABLE: ProblemType = ProblemType {
    code: "not-orderable",
    title: "Some of this cannot be ordered",
    status: StatusCode::UNPROCESSABLE_ENTITY,
};
/// There is no such order.
pub const ORDER_NOT_FOUND: ProblemType = ProblemType {
    code: "order-not-found",
    title: "There is no such order",
    status: StatusCode::NOT_FOUND,
};
/// The order was confirmed too long ago.
pub const TOO_LATE_TO_CANCEL: ProblemType = ProblemType {
    code: "too-late-to-cancel",
    title: "The order can no longer be cancelled",
    status: StatusCode::CONFLICT,
};

pub const ALL: &[ProblemType] = &[NOT_ORDERABLE, ORDER_NOT_FOUND, TOO_LATE_TO_CANCEL];

pub const PAGES: &[ProblemPage] =
    shared::pages!["not-orderable", "order-not-found", "too-late-to-cancel"];

/// The faults of an order's lines that do not depend on the products.
pub(super) fn invalid(faults: &[DraftFault]) -> Problem {
    point_out(problem::INVALID_BODY.problem(), faults)
}

/// The faults that concern the products.
pub(super) fn not_orderable(faults: &[DraftFault]) -> Problem {
    point_out(NOT_ORDERABLE.problem(), faults)
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

/// Why an order is not cancelled.
pub(super) fn rejected(rejection: &OrderRejection) -> Problem {
    match rejection {
        OrderRejection::Unknown => ORDER_NOT_FOUND.problem(),
        OrderRejection::TooLate { .. } => TOO_LATE_TO_CANCEL.detail(rejection.to_string()),
        // Rejections of messages; customers never get them.
        OrderRejection::AlreadyPlaced
        | OrderRejection::Contradiction
        | OrderRejection::PaidOtherwise { .. } => Problem::internal(rejection),
    }
}
