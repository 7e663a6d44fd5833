//! The requests to the gateway, and their validation.
//!
//! The shapes follow Stripe's. Unknown fields are refused, so that a misspelled field
//! is an error and not a default.

pub mod answer;
pub mod refusal;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use refusal::RequestRefusal;

/// The largest amount of one charge, as at Stripe: eight digits.
pub const AMOUNT_MAX: u64 = 99_999_999;
const ORDER_ID_BYTES_MAX: usize = 255;

/// The kind of a money movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyOperation {
    Charge,
    /// Money is given back.
    Refund,
}

/// A well-formed request; equal requests under one key are one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiRequest {
    /// `POST /charges`
    Charge(ChargeRequest),
    /// `POST /refunds`
    Refund(RefundRequest),
}

/// The body of `POST /charges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeRequest {
    /// In minor units, greater than zero.
    pub amount: u64,
    /// Three letters; upper-case from here on.
    pub currency: String,
    /// The card token, which decides what happens.
    pub source: CardToken,
    /// Whose charge it is.
    pub metadata: ChargeMetadata,
}

/// Data that the caller attaches to a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeMetadata {
    /// The order that the charge is for.
    pub order_id: String,
}

/// The body of `POST /refunds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    pub charge: String,
    /// In minor units; what is left of the charge when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
}

/// The card tokens that the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardToken {
    #[serde(rename = "tok_visa")]
    Visa,
    #[serde(rename = "tok_mastercard")]
    Mastercard,
    /// Declined without a reason.
    #[serde(rename = "tok_chargeDeclined")]
    ChargeDeclined,
    /// Declined for lack of money.
    #[serde(rename = "tok_insufficientFunds")]
    InsufficientFunds,
    /// Declined as too old.
    #[serde(rename = "tok_expired")]
    Expired,
    #[serde(rename = "tok_slow")]
    Slow,
    /// Succeeds, and the answer of the attempt that executed it is lost.
    #[serde(rename = "tok_lost")]
    Lost,
    /// Succeeds with an amount that is one too high.
    #[serde(rename = "tok_wrongAmount")]
    WrongAmount,
    /// Succeeds, and is disputed at once: it cannot be refunded.
    #[serde(rename = "tok_createDispute")]
    Disputed,
}

/// Why a card is declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclineReason {
    pub code: &'static str,
    pub decline_code: &'static str,
    pub message: &'static str,
}

impl CardToken {
    /// Why the card is declined, if it is.
    pub fn decline(self) -> Option<DeclineReason> {
        let (code, decline_code, message) = match self {
            Self::Visa
            | Self::Mastercard
            | Self::Slow
            | Self::Lost
            | Self::WrongAmount
            | Self::Disputed => return None,
            Self::ChargeDeclined => ("card_declined", "generic_decline", "Your card was declined."),
            Self::InsufficientFunds => {
                ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
            }
            Self::Expired => ("expired_card", "expired_card", "Your card has expired."),
        };
        Some(DeclineReason { code, decline_code, message })
    }
}

impl ChargeRequest {
    pub fn parse(body: &[u8]) -> Result<Self, RequestRefusal> {
        let mut request: Self = from_json(body)?;
        request.currency.make_ascii_uppercase();
        match request.amount {
            0 => return Err(RequestRefusal::ChargeTooSmall),
            1..=AMOUNT_MAX => (),
            _ => return Err(RequestRefusal::ChargeTooLarge),
        }
        if request.currency.len() != 3 || !request.currency.bytes().all(|b| b.is_ascii_alphabetic())
        {
            return Err(RequestRefusal::Invalid("currency must be three letters".to_owned()));
        }
        let order_id_bytes = request.metadata.order_id.len();
        if order_id_bytes == 0 || order_id_bytes > ORDER_ID_BYTES_MAX {
            let message = format!("metadata.order_id must have 1 to {ORDER_ID_BYTES_MAX} bytes");
            return Err(RequestRefusal::Invalid(message));
        }
        Ok(request)
    }
}

impl RefundRequest {
    pub fn parse(body: &[u8]) -> Result<Self, RequestRefusal> {
        let request: Self = from_json(body)?;
        request.amount.map_or(Ok(()), check_amount)?;
        Ok(request)
    }
}

fn check_amount(amount: u64) -> Result<(), RequestRefusal> {
    if (1..=AMOUNT_MAX).contains(&amount) {
        return Ok(());
    }
    Err(RequestRefusal::Invalid(format!("amount must be from 1 to {AMOUNT_MAX} minor units")))
}

/// Reads JSON, past a byte order mark; what serde says of a mistake is precise enough to be told to
/// the caller.
pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestRefusal> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| RequestRefusal::Invalid(error.to_string()))
}
