//! A customer's order before it is placed, without prices ([`OrderDraft`]) and with ([`PlacedOrder`]).
//!
//! A [`OrderDraft`] is checked without the products. [`OrderDraft::price`] checks the rest against the
//! products and returns a [`PlacedOrder`], the initial data of an order.

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
    pub sku: Sku,
    pub quantity: Quantity,
}

/// The customer's name and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub email: EmailAddress,
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
    pub sku: Sku,
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: Money,
}

/// The initial data of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// At least one, each SKU once.
    pub lines: Vec<OrderLine>,
    pub total: Money,
    pub payment_method: PaymentMethod,
    pub customer: Customer,
    /// When it was accepted.
    pub placed_at: OffsetDateTime,
    /// When it is cancelled if it has not ended by then.
    pub due_at: OffsetDateTime,
}

/// Why a draft is refused. `line` is the index of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftFault {
    /// None, or too many.
    #[error("an order has 1 to {} lines", OrderDraft::LINES_MAX)]
    LineCount,
    /// Two lines name the same product.
    #[error("the same SKU stands in an earlier line; say the quantity once")]
    SkuTwice { line: usize },
    /// There is no such product.
    #[error("there is no such product")]
    UnknownSku { line: usize },
    /// The product is not sold now.
    #[error("this product is not sold now")]
    Inactive { line: usize },
    /// The product is sold for another currency.
    #[error("this product is sold for {sold_for}")]
    OtherCurrency { line: usize, sold_for: Currency },
    /// The total does not fit.
    #[error("the total is larger than {} minor units", Money::MINOR_MAX)]
    TotalTooLarge,
    /// The total is more than can be paid at once.
    #[error("the total is larger than {max} minor units, which is the most that can be paid")]
    TotalAboveLimit { max: i64 },
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

    /// Checks all that does not need the products; returns every fault.
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

    /// Looks up each product and adds the prices; returns every fault.
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

/// The faults of the lines that do not depend on the products.
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
