//! What the shop offers, and how much of it there is.
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
//! A product that is not active is still in stock: an order accepted while it was gets what it was
//! promised.

use shared::contract::currency;

use super::{
    naming::{Quantity, Sku},
    rejection::InventoryRejection,
    stock::StockCount,
};

/// A product and its stock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// What people are offered.
    pub offer: ProductOffer,
    /// How much of it there is.
    pub stock: StockCount,
}

/// What people are offered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProductOffer {
    name: String,
    price_minor: i64,
    currency: String,
    active: bool,
}

/// How an offer can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOffer {
    /// The name is empty, too long or not printable.
    #[error("name is not 1 to {} printable characters", ProductOffer::NAME_CHARS_MAX)]
    Name,
    /// The price is negative or too high.
    #[error("price_minor is not between 0 and {}", ProductOffer::PRICE_MAX)]
    Price,
    /// Nothing can be priced in the currency.
    #[error("currency is not one of ISO 4217 that has a minor unit, in capital letters")]
    Currency,
}

impl ProductOffer {
    /// Characters that a name has at most.
    pub const NAME_CHARS_MAX: usize = 200;
    /// The highest price: a line of the largest quantity still costs less than 64 bits can say.
    pub const PRICE_MAX: i64 = 1_000_000_000;

    /// An offer that is made now, checked.
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

    /// An offer that was made before. Its currency only has to look like one: ISO 4217 may have withdrawn it
    /// meanwhile, and what is reserved of the product is still to be released or sold.
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

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The price of one, in minor units.
    pub fn price_minor(&self) -> i64 {
        self.price_minor
    }

    /// ISO 4217.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether it can be ordered.
    pub fn active(&self) -> bool {
        self.active
    }
}

/// What may be asked of a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProductCommand {
    /// It is to be offered like this, whether it is new or not.
    Put {
        /// How.
        offer: ProductOffer,
    },
    /// It is to exist: offered like this and with this stock, unless it is known already.
    Introduce {
        /// How it is offered.
        offer: ProductOffer,
        /// How many there are; none of what is out of stock from the first.
        quantity: Option<Quantity>,
    },
    /// So many more were delivered.
    Restock {
        /// How many.
        quantity: Quantity,
    },
}

/// What has happened to a product.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProductEvent {
    /// It is new.
    Listed {
        /// What people are offered.
        offer: ProductOffer,
    },
    /// It is offered differently.
    Changed {
        /// What people are offered now.
        offer: ProductOffer,
    },
    /// There is more of it.
    Restocked {
        /// How many more.
        quantity: Quantity,
    },
}

/// The table.
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
