//! Classification of the gateway's answers.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use shared::jobs::AttemptFailure;

use super::GatewayError;
use crate::domain::payment::{Currency, GatewayCharge, Money};

/// The maximum length of a stored code.
const CODE_CHARS_MAX: usize = 64;

/// Codes by which a charge is refused for what the customer wants, not for how we ask: an amount, a
/// currency or a means of payment that cannot be charged.
const TERMS_REFUSED: [&str; 6] = [
    "amount_too_small",
    "amount_too_large",
    "currency_not_supported",
    "payment_method_currency_mismatch",
    "resource_missing",
    "token_already_used",
];

#[derive(Debug)]
pub(super) struct HttpReply {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    problem: ProblemBody,
}

/// The meaning for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyVerdict {
    Done,
    /// The bank said no, for good.
    Declined,
    /// The request is wrong and will never be taken.
    Never,
    /// The key was used for another request.
    KeyReused,
    /// The request was not accepted, but may be later.
    NotNow,
    Open,
}

#[derive(Debug, Default, Deserialize)]
struct ProblemBody {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    decline_code: Option<String>,
}

#[derive(Deserialize)]
struct RefusalBody {
    error: ProblemBody,
}

#[derive(Deserialize)]
struct ChargeBody {
    id: String,
    amount: i64,
    currency: String,
    status: String,
}

#[derive(Deserialize)]
struct RefundBody {
    id: String,
    status: String,
}

const SUCCEEDED: &str = "succeeded";

impl HttpReply {
    pub(super) fn new(status: StatusCode, retry_after: Option<Duration>, body: Vec<u8>) -> Self {
        let problem =
            serde_json::from_slice(&body).map(|RefusalBody { error }| error).unwrap_or_default();
        Self { status, retry_after, body, problem }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Its meaning. A refusal counts only in the gateway's own format: the error page of a proxy in
    /// front of the gateway settles nothing.
    pub(super) fn verdict(&self) -> ReplyVerdict {
        match (self.status.as_u16(), self.problem.kind.as_str()) {
            (200 | 201, _) => ReplyVerdict::Done,
            (402, "card_error") => ReplyVerdict::Declined,
            (400, "idempotency_error") => ReplyVerdict::KeyReused,
            (400 | 404, "invalid_request_error") => ReplyVerdict::Never,
            (401 | 403 | 429 | 503, _) => ReplyVerdict::NotNow,
            _ => ReplyVerdict::Open,
        }
    }

    /// Whether the gateway gives this code.
    pub(super) fn says(&self, code: &str) -> bool {
        self.problem.code == code
    }

    /// Whether it is the customer's order or means of payment that cannot be charged.
    pub(super) fn refuses_terms(&self) -> bool {
        TERMS_REFUSED.iter().any(|text| self.says(text))
    }

    /// Whether the gateway works, whatever it says of the money.
    pub(super) fn is_an_answer(&self) -> bool {
        match self.verdict() {
            ReplyVerdict::Done
            | ReplyVerdict::Declined
            | ReplyVerdict::Never
            | ReplyVerdict::KeyReused => true,
            ReplyVerdict::NotNow => false,
            // Another request holds the key: that counts as an answer.
            ReplyVerdict::Open => self.status == StatusCode::CONFLICT,
        }
    }

    /// The bank's code for a decline, or the gateway's.
    pub(super) fn code(&self) -> String {
        let code = self.problem.decline_code.as_ref().unwrap_or(&self.problem.code);
        code.chars().filter(|character| !character.is_control()).take(CODE_CHARS_MAX).collect()
    }

    pub(super) fn charge(&self) -> Result<GatewayCharge, AttemptFailure> {
        let charged: ChargeBody = self.read()?;
        let currency = Currency::parse(&charged.currency);
        match currency.filter(|_| charged.status == SUCCEEDED) {
            Some(currency) => Ok(GatewayCharge {
                id: charged.id,
                amount: Money { minor: charged.amount, currency },
            }),
            None => Err(self.unreadable()),
        }
    }

    /// The name of the refund.
    pub(super) fn refund_id(&self) -> Result<String, AttemptFailure> {
        let refunded: RefundBody = self.read()?;
        if refunded.status == SUCCEEDED { Ok(refunded.id) } else { Err(self.unreadable()) }
    }

    pub(super) fn read<'r, T: Deserialize<'r>>(&'r self) -> Result<T, AttemptFailure> {
        serde_json::from_slice(&self.body).map_err(|_unread| self.unreadable())
    }

    /// The request was accepted, but its outcome is unclear: a repeated call may clarify it.
    fn unreadable(&self) -> AttemptFailure {
        AttemptFailure::InDoubt { source: GatewayError::Unreadable(self.status).into() }
    }

    pub(super) fn refused(&self) -> GatewayError {
        let code = self.problem.code.chars().filter(|character| !character.is_control());
        GatewayError::Refused { status: self.status, code: code.take(CODE_CHARS_MAX).collect() }
    }

    pub(super) fn not_now(&self) -> AttemptFailure {
        AttemptFailure::NoEffect { source: self.refused().into(), retry_after: self.retry_after }
    }

    pub(super) fn open(&self) -> AttemptFailure {
        AttemptFailure::InDoubt { source: self.refused().into() }
    }
}

#[cfg(test)]
mod tests;
