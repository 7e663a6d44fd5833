//! What an answer of the gateway means.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use shared::jobs::Failure;

use super::Error;
use crate::domain::payment::{Charge, Currency, Money};

/// How much of a code is kept.
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

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    problem: Problem,
}

/// What it means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was done.
    Done,
    /// The bank said no, for good.
    Declined,
    /// The request is wrong and will never be taken.
    Never,
    /// The key was used for another request.
    KeyReused,
    /// It was not taken, and may be later.
    NotNow,
    /// Nobody knows.
    Open,
}

#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    decline_code: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Problem,
}

#[derive(Deserialize)]
struct Charged {
    id: String,
    amount: i64,
    currency: String,
    status: String,
}

#[derive(Deserialize)]
struct Refunded {
    id: String,
    status: String,
}

const SUCCEEDED: &str = "succeeded";

impl Reply {
    pub(super) fn new(status: StatusCode, retry_after: Option<Duration>, body: Vec<u8>) -> Self {
        let problem =
            serde_json::from_slice(&body).map(|Refusal { error }| error).unwrap_or_default();
        Self { status, retry_after, body, problem }
    }

    /// Its HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What it means. A refusal counts as one only in the gateway's own words: the error page of
    /// something that stands before it ends nothing.
    pub(super) fn verdict(&self) -> Verdict {
        match (self.status.as_u16(), self.problem.kind.as_str()) {
            (200 | 201, _) => Verdict::Done,
            (402, "card_error") => Verdict::Declined,
            (400, "idempotency_error") => Verdict::KeyReused,
            (400 | 404, "invalid_request_error") => Verdict::Never,
            (401 | 403 | 429 | 503, _) => Verdict::NotNow,
            _ => Verdict::Open,
        }
    }

    /// Whether the gateway gives this code.
    pub(super) fn says(&self, code: &str) -> bool {
        self.problem.code == code
    }

    /// Whether it is the customer's order or means of payment that cannot be charged.
    pub(super) fn refuses_terms(&self) -> bool {
        TERMS_REFUSED.iter().any(|it| self.says(it))
    }

    /// Whether the gateway works, whatever it says of the money.
    pub(super) fn is_an_answer(&self) -> bool {
        match self.verdict() {
            Verdict::Done | Verdict::Declined | Verdict::Never | Verdict::KeyReused => true,
            Verdict::NotNow => false,
            // Somebody has the key: that is an answer.
            Verdict::Open => self.status == StatusCode::CONFLICT,
        }
    }

    /// The bank's code for a decline, or the gateway's.
    pub(super) fn code(&self) -> String {
        let code = self.problem.decline_code.as_ref().unwrap_or(&self.problem.code);
        code.chars().filter(|it| !it.is_control()).take(CODE_CHARS_MAX).collect()
    }

    /// What was charged.
    pub(super) fn charge(&self) -> Result<Charge, Failure> {
        let charged: Charged = self.read()?;
        let currency = Currency::parse(&charged.currency);
        match currency.filter(|_| charged.status == SUCCEEDED) {
            Some(currency) => {
                Ok(Charge { id: charged.id, amount: Money { minor: charged.amount, currency } })
            }
            None => Err(self.unreadable()),
        }
    }

    /// The name of the refund.
    pub(super) fn refund_id(&self) -> Result<String, Failure> {
        let refunded: Refunded = self.read()?;
        if refunded.status == SUCCEEDED { Ok(refunded.id) } else { Err(self.unreadable()) }
    }

    /// Its body.
    pub(super) fn read<'r, T: Deserialize<'r>>(&'r self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_unread| self.unreadable())
    }

    /// It was taken, and what came of it cannot be told: asked again, it may be told better.
    fn unreadable(&self) -> Failure {
        Failure::Unknown { source: Error::Unreadable(self.status).into() }
    }

    pub(super) fn refused(&self) -> Error {
        let code = self.problem.code.chars().filter(|it| !it.is_control());
        Error::Refused { status: self.status, code: code.take(CODE_CHARS_MAX).collect() }
    }

    pub(super) fn not_now(&self) -> Failure {
        Failure::Refused { source: self.refused().into(), retry_after: self.retry_after }
    }

    pub(super) fn open(&self) -> Failure {
        Failure::Unknown { source: self.refused().into() }
    }
}

#[cfg(test)]
mod tests;
