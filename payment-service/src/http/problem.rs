//! Problem types that only this service has.

use axum::http::StatusCode;
use shared::http::ProblemType;

/// An operator's decision does not apply to the payment.
pub const NOT_UNDER_REVIEW: ProblemType = ProblemType {
    code: "payment-not-under-review",
    title: "The payment does not wait for this decision",
    status: StatusCode::CONFLICT,
};
