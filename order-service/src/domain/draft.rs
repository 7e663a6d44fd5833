//! What a customer asks for, and what becomes of it once it has its prices.
//!
//! A [`Draft`] holds what can be checked without knowing any product. [`Draft::price`] checks the
//! rest against the products and makes a [`Placement`] of it: what an order starts from.

use std::collections::{HashMap, HashSet};

use time::OffsetDateTime;

use super::{
    catalogue::{ProductOffer, Sku},
    contact::{CustomerName, EmailAddress, PaymentMethod},
    money::{Currency, Money, Quantity},
};

/// What is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// Who is told, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Where.
    pub email: EmailAddress,
    /// Who.
    pub name: Option<CustomerName>,
}

/// An order as asked for: well-formed, but its products are not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderDraft {
    wishes: Vec<DraftLine>,
    currency: Currency,
    payment_method: PaymentMethod,
    customer: Customer,
}

/// A line of an order, with the price at which it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: Money,
}

/// What an order starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// At least one, each SKU once.
    pub lines: Vec<OrderLine>,
    /// All lines together.
    pub total: Money,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// Who is told.
    pub customer: Customer,
    /// When it was accepted.
    pub placed_at: OffsetDateTime,
    /// When it is cancelled if it has not ended by then.
    pub due_at: OffsetDateTime,
}

/// What is wrong with a draft. `line` is a place among its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftFault {
    /// None, or too many.
    #[error("an order has 1 to {} lines", OrderDraft::LINES_MAX)]
    LineCount,
    /// Two lines name the same product.
    #[error("the same SKU stands in an earlier line; say the quantity once")]
    SkuTwice {
        /// The later one.
        line: usize,
    },
    /// There is no such product.
    #[error("there is no such product")]
    UnknownSku {
        /// Where.
        line: usize,
    },
    /// The product is not sold now.
    #[error("this product is not sold now")]
    Inactive {
        /// Where.
        line: usize,
    },
    /// The product is sold for another currency.
    #[error("this product is sold for {sold_for}")]
    OtherCurrency {
        /// Where.
        line: usize,
        /// For which.
        sold_for: Currency,
    },
    /// The total does not fit.
    #[error("the total is larger than {} minor units", Money::MINOR_MAX)]
    TotalTooLarge,
    /// The total is more than can be paid at once.
    #[error("the total is larger than {max} minor units, which is the most that can be paid")]
    TotalAboveLimit {
        /// The largest total.
        max: i64,
    },
}

impl PlacedOrder {
    /// Refuses a total that is larger than this, in minor units.
    pub fn at_most(self, total_max: i64) -> Result<Self, Vec<DraftFault>> {
        if self.total.minor() > total_max {
            return Err(vec![DraftFault::TotalAboveLimit { max: total_max }]);
        }
        Ok(self)
    }
}

impl OrderDraft {
    /// The largest number of lines.
    pub const LINES_MAX: usize = 100;

    /// Checks what can be checked without knowing any product; says everything that is wrong.
    pub fn new(
        wishes: Vec<DraftLine>,
        currency: Currency,
        payment_method: PaymentMethod,
        customer: Customer,
    ) -> Result<Self, Vec<DraftFault>> {
        match check(&wishes) {
            faults if faults.is_empty() => Ok(Self { wishes, currency, payment_method, customer }),
            faults => Err(faults),
        }
    }

    /// What is wished for.
    pub fn wishes(&self) -> &[DraftLine] {
        &self.wishes
    }

    /// Looks each product up and adds the prices; says everything that is wrong.
    pub fn price(
        &self,
        offers: &HashMap<Sku, ProductOffer>,
        placed_at: OffsetDateTime,
        due_at: OffsetDateTime,
    ) -> Result<PlacedOrder, Vec<DraftFault>> {
        let mut lines = Vec::with_capacity(self.wishes.len());
        let mut faults = Vec::new();
        for (line, DraftLine { sku, quantity }) in self.wishes.iter().enumerate() {
            match offers.get(sku) {
                None => faults.push(DraftFault::UnknownSku { line }),
                Some(ProductOffer { active: false, .. }) => {
                    faults.push(DraftFault::Inactive { line });
                }
                Some(ProductOffer { price, .. }) if price.currency() != self.currency => {
                    faults.push(DraftFault::OtherCurrency { line, sold_for: price.currency() });
                }
                Some(ProductOffer { price, .. }) => {
                    lines.push(OrderLine {
                        sku: sku.clone(),
                        quantity: *quantity,
                        unit_price: *price,
                    });
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let total = self.add(&lines).ok_or_else(|| vec![DraftFault::TotalTooLarge])?;
        let Self { payment_method, customer, .. } = self.clone();
        Ok(PlacedOrder { lines, total, payment_method, customer, placed_at, due_at })
    }

    fn add(&self, lines: &[OrderLine]) -> Option<Money> {
        let nothing = Money::new(0, self.currency).ok()?;
        lines.iter().try_fold(nothing, |sum, line| sum.plus(line.unit_price.times(line.quantity)?))
    }
}

/// What is wrong with the lines, whatever the products are.
fn check(wishes: &[DraftLine]) -> Vec<DraftFault> {
    if !(1..=OrderDraft::LINES_MAX).contains(&wishes.len()) {
        return vec![DraftFault::LineCount];
    }
    let mut seen = HashSet::with_capacity(wishes.len());
    let mut faults = Vec::new();
    for (line, DraftLine { sku, .. }) in wishes.iter().enumerate() {
        if !seen.insert(sku) {
            faults.push(DraftFault::SkuTwice { line });
        }
    }
    faults
}

#[cfg(test)]
mod tests;
