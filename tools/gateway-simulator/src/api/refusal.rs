//! The reasons for which a request is refused; the only place that chooses an error's status.
//!
//! A refusal is not kept for its key: nothing was executed, so the same key may be tried again. A
//! declined card is not a refusal but an executed request with a bad end; it is kept.

use serde::Serialize;

use super::{
    DeclineReason,
    answer::{ApiAnswer, to_json},
};

/// Why nothing was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestRefusal {
    /// The request makes no sense.
    Invalid(String),
    /// The key is not one.
    BadKey,
    /// The key belongs to another request.
    KeyReused,
    /// The key's request is being executed.
    KeyInUse,
    /// There is no such thing.
    NotFound(&'static str),
    /// The route takes other methods.
    MethodNotAllowed,
    /// Less than can be charged.
    ChargeTooSmall,
    /// More than can be charged.
    ChargeTooLarge,
    /// More than what is left of the charge.
    RefundTooLarge,
    /// Nothing is left of the charge.
    AlreadyRefunded,
    /// The customer's bank has taken the money back.
    Disputed,
    /// The gateway does not take requests.
    Unavailable,
    /// The gateway broke after it had done its work. Only a fault says so.
    Broken,
}

/// Types of errors: of the request, and of its key.
const REQUEST: &str = "invalid_request_error";
const KEY: &str = "idempotency_error";

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    r#type: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    message: &'a str,
}

impl RequestRefusal {
    /// The refusal as an answer.
    pub fn answer(&self) -> ApiAnswer {
        let (status, r#type, code, message) = match self {
            Self::Invalid(message) => (400, REQUEST, "parameter_invalid", message.as_str()),
            Self::BadKey => (
                400,
                REQUEST,
                "idempotency_key_invalid",
                "Idempotency-Key must be given: 1 to 255 visible ASCII characters.",
            ),
            Self::KeyReused => (
                400,
                KEY,
                "idempotency_key_reused",
                "This key was used for a request with other parameters.",
            ),
            Self::KeyInUse => {
                (409, KEY, "idempotency_key_in_use", "A request with this key is being executed.")
            }
            Self::NotFound(message) => (404, REQUEST, "resource_missing", *message),
            Self::MethodNotAllowed => (
                405,
                REQUEST,
                "method_not_allowed",
                "This route does not take the method: the header Allow lists what it takes.",
            ),
            Self::ChargeTooSmall => {
                (400, REQUEST, "amount_too_small", "The amount is less than can be charged.")
            }
            Self::ChargeTooLarge => {
                (400, REQUEST, "amount_too_large", "The amount is more than can be charged.")
            }
            Self::Disputed => (400, REQUEST, "charge_disputed", "The charge is disputed."),
            Self::RefundTooLarge => (
                400,
                REQUEST,
                "amount_too_large",
                "The refund is greater than what is left of the charge.",
            ),
            Self::AlreadyRefunded => {
                (400, REQUEST, "charge_already_refunded", "Nothing is left of the charge.")
            }
            Self::Unavailable => {
                (503, "api_error", "unavailable", "Nothing was executed. Try again later.")
            }
            Self::Broken => (500, "api_error", "internal", "Something went wrong on our side."),
        };
        let error = ErrorObject { r#type, code, decline_code: None, message };
        ApiAnswer::of(status, &ErrorBody { error })
    }
}

/// The body of a decline's answer.
pub(crate) fn decline_body(decline: &DeclineReason) -> String {
    let DeclineReason { code, decline_code, message } = *decline;
    let error =
        ErrorObject { r#type: "card_error", code, decline_code: Some(decline_code), message };
    to_json(&ErrorBody { error })
}
