//! What can be ordered, as far as this service has heard: products are another service's.

use time::OffsetDateTime;

use super::money::Money;

/// Names a product: letters, digits, `.`, `_`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(String);

/// Not the name of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SKU has 1 to 64 letters, digits, '.', '_' or '-'")]
pub struct BadSku;

/// A product as it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductOffer {
    /// The price of one.
    pub price: Money,
    /// Whether it can be ordered.
    pub active: bool,
}

/// A product as its owner described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductDetails {
    /// What people call it.
    pub name: String,
    /// For how much, and whether at all.
    pub offer: ProductOffer,
    /// When it changed.
    pub changed_at: OffsetDateTime,
}

/// What the owner of the products said of one. Of two words, the one with the higher sequence holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductSnapshot {
    /// The product.
    pub sku: Sku,
    /// The n-th word on it.
    pub sequence: i64,
    /// How it is; none if it is gone.
    pub product: Option<ProductDetails>,
}

impl Sku {
    /// Reads a SKU.
    pub fn parse(text: &str) -> Result<Self, BadSku> {
        let allowed = |n: u8| n.is_ascii_alphanumeric() || b"._-".contains(&n);
        let ok = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        ok.then(|| Self(text.to_owned())).ok_or(BadSku)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_plain_text() {
        for bad in ["", "a b", "a/b", "tee\u{301}", "a\0", "a\r\n", &"a".repeat(65)] {
            assert_eq!(Sku::parse(bad), Err(BadSku), "{bad:?}");
        }
    }
}
