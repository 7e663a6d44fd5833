//! Products that can be ordered, as this service last read them: another service owns products.

use time::OffsetDateTime;

use super::money::Money;

/// Names a product: letters, digits, `.`, `_`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(String);

/// Not the name of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SKU has 1 to 64 letters, digits, '.', '_' or '-'")]
pub struct BadSku;

/// The offer of a product.
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
    pub name: String,
    /// The price, and whether the product can be ordered.
    pub offer: ProductOffer,
    pub changed_at: OffsetDateTime,
}

/// An update of a product from its owner. Of two updates, the one with the higher sequence wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductSnapshot {
    pub sku: Sku,
    /// The sequence number of the update.
    pub sequence: i64,
    /// The product; `None` if it was removed.
    pub product: Option<ProductDetails>,
}

impl Sku {
    pub fn parse(text: &str) -> Result<Self, BadSku> {
        let allowed = |n: u8| n.is_ascii_alphanumeric() || b"._-".contains(&n);
        let ok = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        ok.then(|| Self(text.to_owned())).ok_or(BadSku)
    }

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
