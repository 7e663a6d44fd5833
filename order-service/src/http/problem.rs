//! The refusals that only this service knows. Each has its page in `docs/errors`.

use axum::http::StatusCode;
use shared::http::{Problem, ProblemPage, ProblemType, problem};

use crate::domain::{draft::Fault, order::Rejection};

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

/// All of them.
pub const ALL: &[ProblemType] = &[NOT_ORDERABLE, ORDER_NOT_FOUND, TOO_LATE_TO_CANCEL];

/// Their pages.
pub const PAGES: &[ProblemPage] =
    shared::pages!["not-orderable", "order-not-found", "too-late-to-cancel"];

/// What is wrong with the lines of an order, whatever the products are.
pub(super) fn invalid(faults: &[Fault]) -> Problem {
    point_out(problem::INVALID_BODY.problem(), faults)
}

/// What is wrong with the products.
pub(super) fn not_orderable(faults: &[Fault]) -> Problem {
    point_out(NOT_ORDERABLE.problem(), faults)
}

fn point_out(problem: Problem, faults: &[Fault]) -> Problem {
    faults.iter().fold(problem, |problem, fault| {
        let (pointer, code) = match fault {
            Fault::LineCount => ("/lines".to_owned(), "line-count"),
            Fault::SkuTwice { line } => (sku(*line), "duplicate-sku"),
            Fault::UnknownSku { line } => (sku(*line), "unknown-sku"),
            Fault::Inactive { line } => (sku(*line), "inactive-sku"),
            Fault::OtherCurrency { .. } => ("/currency".to_owned(), "other-currency"),
            Fault::TotalTooLarge | Fault::TotalAboveLimit { .. } => {
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
pub(super) fn rejected(rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::Unknown => ORDER_NOT_FOUND.problem(),
        Rejection::TooLate { .. } => TOO_LATE_TO_CANCEL.detail(rejection.to_string()),
        // Answers to messages, never to a customer.
        Rejection::AlreadyPlaced | Rejection::Contradiction | Rejection::PaidOtherwise { .. } => {
            Problem::internal(rejection)
        }
    }
}
