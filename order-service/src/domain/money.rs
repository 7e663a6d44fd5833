//! Money and quantity types that are valid by construction.
//!
//! **Architecture invariant:** amounts are whole minor units of one currency. Two currencies are
//! never added, and no sum wraps: an overflow is an error at the calculation.

use std::fmt;

use contract::currency;

/// An amount, not negative, in minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// ISO 4217: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The quantity of one line: 1 to 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u16);

/// The number is outside the range of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is between 0 and {} minor units", Money::MINOR_MAX)]
pub struct BadAmount;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, as in ISO 4217")]
pub struct BadCurrency;

/// Not a currency for new orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrderCurrency {
    /// The text does not have the form of a currency code.
    #[error(transparent)]
    Malformed(BadCurrency),
    /// Nothing is priced in it.
    #[error("ISO 4217 has no currency of that code that has a minor unit")]
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is between 1 and {}", Quantity::MAX)]
pub struct BadQuantity;

impl Money {
    /// The largest amount: the largest whole number that every JSON reader keeps exactly.
    pub const MINOR_MAX: i64 = (1 << 53) - 1;

    /// An amount of minor units.
    pub fn new(minor: i64, currency: Currency) -> Result<Self, BadAmount> {
        match minor {
            0..=Self::MINOR_MAX => Ok(Self { minor, currency }),
            _ => Err(BadAmount),
        }
    }

    /// The amount in minor units.
    pub fn minor(self) -> i64 {
        self.minor
    }

    pub fn currency(self) -> Currency {
        self.currency
    }

    /// This amount `quantity` times; `None` if the result does not fit.
    pub fn times(self, quantity: Quantity) -> Option<Self> {
        let minor = self.minor.checked_mul(quantity.get().into())?;
        Self::new(minor, self.currency).ok()
    }

    /// The sum of both amounts; `None` if it does not fit or the currencies differ.
    pub fn plus(self, other: Self) -> Option<Self> {
        let minor = self.minor.checked_add(other.minor)?;
        if self.currency != other.currency {
            return None;
        }
        Self::new(minor, self.currency).ok()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} minor units of {}", self.minor, self.currency)
    }
}

impl Currency {
    /// Reads the currency of a new order: one that ISO 4217 knows and has a minor unit for.
    pub fn of_new_order(text: &str) -> Result<Self, BadOrderCurrency> {
        let currency = Self::parse(text).map_err(BadOrderCurrency::Malformed)?;
        match currency::minor_digits(text) {
            Some(_) => Ok(currency),
            None => Err(BadOrderCurrency::Unknown),
        }
    }

    /// Reads three capital letters from a stored row or a message: ISO 4217 may have withdrawn the
    /// code since.
    pub fn parse(text: &str) -> Result<Self, BadCurrency> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(BadCurrency),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0)
            .unwrap_or_else(|_not_utf8| unreachable!("a currency is made of capital letters"))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Quantity {
    /// The largest quantity of one line.
    pub const MAX: u16 = 10_000;

    pub fn new(number: i64) -> Result<Self, BadQuantity> {
        match u16::try_from(number) {
            Ok(number @ 1..=Self::MAX) => Ok(Self(number)),
            _ => Err(BadQuantity),
        }
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests;
