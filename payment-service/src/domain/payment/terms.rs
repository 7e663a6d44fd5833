//! The value types of a payment.

use std::fmt;

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

/// A currency's ISO 4217 code, in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// Reads a code in either case.
    pub fn parse(code: &str) -> Option<Self> {
        let is_code = code.len() == 3 && code.bytes().all(|n| n.is_ascii_alphabetic());
        is_code.then(|| Self(code.to_ascii_uppercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The gateway's name for a customer's means of payment. Never shown: its `Debug` is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentToken(String);

impl PaymentToken {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the gateway and the store only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part that people may see: the origin of the token, not its value.
    pub fn masked(&self) -> String {
        let visible = self.0.split_once('_').map_or("", |(kind, _)| kind);
        if visible.is_empty() || visible.len() > 4 {
            return "****".to_owned();
        }
        format!("{visible}_****")
    }
}

impl fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The amount that an order requires, and the means of payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentTerms {
    pub amount: Money,
    /// The customer's means of payment.
    pub method: PaymentToken,
}

impl PaymentTerms {
    /// Whether there is nothing to pay.
    pub fn are_free(&self) -> bool {
        self.amount.minor == 0
    }
}

/// The charge as the gateway reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayCharge {
    /// The gateway's name for it.
    pub id: String,
    pub amount: Money,
}

impl GatewayCharge {
    /// The name of a charge that was never made, because there was nothing to pay.
    pub const FREE: &'static str = "free";

    /// Placeholder for the charge of an order that costs nothing.
    pub fn free(terms: &PaymentTerms) -> Self {
        Self { id: Self::FREE.to_owned(), amount: terms.amount.clone() }
    }

    /// Whether there is nothing to give back.
    pub fn is_nothing(&self) -> bool {
        self.amount.minor == 0
    }
}
