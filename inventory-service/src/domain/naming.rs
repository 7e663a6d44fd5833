//! Value types: order id, SKU, quantity, lines.
//!
//! Each value is checked once, where it is made; code that holds a value can rely on the check.

use std::{collections::BTreeMap, fmt, sync::Arc};

use uuid::Uuid;

/// An order, as order-service names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(pub Uuid);

/// The key of a product: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(Arc<str>);

impl Sku {
    /// The maximum length of a SKU, in characters.
    pub const LETTERS_MAX: usize = 64;

    /// Parses a SKU; `None` if the text is not a SKU.
    pub fn parse(text: &str) -> Option<Self> {
        let good = |n: u8| n.is_ascii_alphanumeric() || b"-_.".contains(&n);
        let sized = (1..=Self::LETTERS_MAX).contains(&text.len());
        (sized && text.bytes().all(good)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A quantity of one product: at least one, and at most what the contract's type can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(i32);

impl Quantity {
    pub const ONE: Self = Self(1);

    /// A quantity; `None` if the number is less than one.
    pub fn new(count: i32) -> Option<Self> {
        (count > 0).then_some(Self(count))
    }

    /// The number in the contract's type.
    pub fn get(self) -> i32 {
        self.0
    }

    /// The number in the type of stock counts.
    pub fn count(self) -> u64 {
        u64::from(self.0.unsigned_abs())
    }
}

/// The lines of an order: at least one product, each product once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderLines(BTreeMap<Sku, Quantity>);

/// Why lines are not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLines {
    #[error("there are no lines")]
    Empty,
    /// A product is listed more than once.
    #[error("a product stands in two lines")]
    Repeated,
}

impl OrderLines {
    pub fn new(lines: impl IntoIterator<Item = (Sku, Quantity)>) -> Result<Self, InvalidLines> {
        let mut checked = BTreeMap::new();
        for (sku, quantity) in lines {
            if checked.insert(sku, quantity).is_some() {
                return Err(InvalidLines::Repeated);
            }
        }
        if checked.is_empty() { Err(InvalidLines::Empty) } else { Ok(Self(checked)) }
    }

    /// Each product and its quantity, in the order of the SKUs.
    pub fn iter(&self) -> impl Iterator<Item = (&Sku, Quantity)> {
        self.0.iter().map(|(sku, quantity)| (sku, *quantity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_short_and_plain() {
        for good in ["a", "usb-c_cable.2m", "LAMP", &"x".repeat(64)] {
            assert_eq!(Sku::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "two words", "a/b", "ü", "nul\0", &"x".repeat(65)] {
            assert_eq!(Sku::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_quantity_is_at_least_one() {
        assert_eq!(Quantity::new(0), None);
        assert_eq!(Quantity::new(-1), None);
        assert_eq!(Quantity::new(i32::MAX).map(Quantity::count), Some(2_147_483_647));
    }

    #[test]
    fn lines_name_each_product_once_and_at_least_one() {
        let lamp = Sku::parse("lamp").unwrap();
        assert_eq!(OrderLines::new([]), Err(InvalidLines::Empty));
        assert_eq!(
            OrderLines::new([(lamp.clone(), Quantity::ONE), (lamp, Quantity::ONE)]),
            Err(InvalidLines::Repeated)
        );
    }
}
