//! Problem types that only this service has.

use axum::http::StatusCode;
use shared::http::{ProblemExample, ProblemType};

/// An operator's decision does not apply to the payment.
pub const NOT_UNDER_REVIEW: ProblemType = ProblemType {
    code: "payment-not-under-review",
    title: "The payment does not wait for this decision",
    status: StatusCode::CONFLICT,
    example: &ProblemExample::Detail(
        "the payment of this order waits for another decision, or for none: its stage is at \
         /payments/01a20fcc-a92c-76ef-87b5-a07309aa9900 of the public port",
    ),
};
