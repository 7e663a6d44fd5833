//! A product: its offer (name, price, active or not) and its stock.
//!
//! | product | command | happens |
//! | --- | --- | --- |
//! | none | put, introduce without stock | listed |
//! | none | introduce | listed, restocked |
//! | none | restock, restock beyond the limit | rejected: there is no such product |
//! | any | put | nothing: all is the same |
//! | any | put with a difference | changed |
//! | any | introduce, introduce without stock | nothing: whatever it has become stays |
//! | any | restock | restocked |
//! | any | restock beyond the limit | rejected |
//!
//! A product that is not active keeps its stock: an order that was accepted while the product was
//! active still gets its lines.

use contract::currency;

use super::{
    naming::{Quantity, Sku},
    rejection::InventoryRejection,
    stock::StockCount,
};

/// A product and its stock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub offer: ProductOffer,
    pub stock: StockCount,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProductOffer {
    name: String,
    price_minor: i64,
    currency: String,
    active: bool,
}

/// Why an offer is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOffer {
    /// The name is empty, too long or not printable.
    #[error("is not 1 to {} printable characters", ProductOffer::NAME_CHARS_MAX)]
    Name,
    /// The price is negative or too high.
    #[error("is not between 0 and {}", ProductOffer::PRICE_MAX)]
    Price,
    /// The currency is not one for prices.
    #[error("is not one of ISO 4217 that has a minor unit, in capital letters")]
    Currency,
}

impl ProductOffer {
    /// The maximum length of a name, in characters.
    pub const NAME_CHARS_MAX: usize = 200;
    /// The highest price: a line of the largest quantity still fits in 64 bits.
    pub const PRICE_MAX: i64 = 1_000_000_000;

    /// A new offer, checked.
    pub fn new(
        name: String,
        price_minor: i64,
        currency: String,
        active: bool,
    ) -> Result<Self, InvalidOffer> {
        let offer = Self::kept(name, price_minor, currency, active)?;
        match currency::minor_digits(&offer.currency) {
            Some(_) => Ok(offer),
            None => Err(InvalidOffer::Currency),
        }
    }

    /// An offer that was stored before. Only the form of its currency is checked: ISO 4217 may have
    /// withdrawn the code, and reserved stock must still be released or sold.
    pub fn kept(
        name: String,
        price_minor: i64,
        currency: String,
        active: bool,
    ) -> Result<Self, InvalidOffer> {
        let printable = !name.trim().is_empty() && !name.chars().any(char::is_control);
        if !printable || name.chars().count() > Self::NAME_CHARS_MAX {
            return Err(InvalidOffer::Name);
        }
        if !(0..=Self::PRICE_MAX).contains(&price_minor) {
            return Err(InvalidOffer::Price);
        }
        if !currency::is_code(&currency) {
            return Err(InvalidOffer::Currency);
        }
        Ok(Self { name, price_minor, currency, active })
    }

    /// The name that customers are shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The price of one, in minor units.
    pub fn price_minor(&self) -> i64 {
        self.price_minor
    }

    /// The currency's code, as in ISO 4217.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether it can be ordered.
    pub fn active(&self) -> bool {
        self.active
    }
}

/// A command for a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProductCommand {
    /// Create the product with this offer, or change its offer to this one.
    Put { offer: ProductOffer },
    /// Create the product with this offer and stock, unless the product exists already.
    Introduce {
        offer: ProductOffer,
        /// The first stock; `None` if the product starts out of stock.
        quantity: Option<Quantity>,
    },
    /// Add a delivered quantity to the stock.
    Restock { quantity: Quantity },
}

/// An event of a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProductEvent {
    Listed {
        offer: ProductOffer,
    },
    /// The offer was changed.
    Changed {
        /// The product's new offer.
        offer: ProductOffer,
    },
    /// The stock was increased.
    Restocked {
        quantity: Quantity,
    },
}

pub(super) fn decide(
    product: Option<&Product>,
    command: &ProductCommand,
) -> Result<Vec<ProductEvent>, InventoryRejection> {
    match (product, command) {
        (None, ProductCommand::Put { offer }) => {
            Ok(vec![ProductEvent::Listed { offer: offer.clone() }])
        }
        (Some(product), ProductCommand::Put { offer }) if product.offer == *offer => Ok(vec![]),
        (Some(_), ProductCommand::Put { offer }) => {
            Ok(vec![ProductEvent::Changed { offer: offer.clone() }])
        }
        (None, ProductCommand::Introduce { offer, quantity }) => {
            let listed = ProductEvent::Listed { offer: offer.clone() };
            let restocked = quantity.map(|quantity| ProductEvent::Restocked { quantity });
            Ok([listed].into_iter().chain(restocked).collect())
        }
        (Some(_), ProductCommand::Introduce { .. }) => Ok(vec![]),
        (None, ProductCommand::Restock { .. }) => Err(InventoryRejection::UnknownProduct),
        (Some(product), ProductCommand::Restock { quantity }) => {
            if product.stock.has_room_for(quantity.count()) {
                Ok(vec![ProductEvent::Restocked { quantity: *quantity }])
            } else {
                Err(InventoryRejection::StockLimit)
            }
        }
    }
}

/// The product after an event.
pub(super) fn evolve(product: Option<Product>, sku: &Sku, event: &ProductEvent) -> Product {
    match (product, event) {
        (None, ProductEvent::Listed { offer }) => {
            Product { offer: offer.clone(), stock: StockCount::default() }
        }
        (Some(product), ProductEvent::Changed { offer }) => {
            Product { offer: offer.clone(), ..product }
        }
        (Some(product), ProductEvent::Restocked { quantity }) => {
            Product { stock: product.stock.restock(quantity.count()), ..product }
        }
        (product, event) => unreachable!("{event:?} was not decided for {sku}: {product:?}"),
    }
}
