//! Products and stock as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{naming::Sku, product, stock};

/// What the shop offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct ProductView {
    /// What it is known by.
    #[schema(example = "desk-lamp")]
    sku: String,
    /// What people call it.
    #[schema(example = "Desk lamp")]
    name: String,
    /// The price of one, in minor units of its currency.
    #[schema(example = 4990)]
    price_minor: i64,
    /// The currency's code, as in ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// Whether it can be ordered.
    active: bool,
}

/// How much there is of a product: `available + reserved + sold = stocked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Stock)]
pub(crate) struct StockView {
    /// The product's stock keeping unit.
    #[schema(example = "desk-lamp")]
    sku: String,
    /// How many pieces can be reserved.
    available: u64,
    /// Held for orders that are on their way.
    reserved: u64,
    /// Gone to orders that were confirmed.
    sold: u64,
    /// Ever delivered: the first stock and all that came later.
    stocked: u64,
}

impl ProductView {
    pub(crate) fn of(sku: &Sku, product: &product::Product) -> Self {
        let offer = &product.offer;
        Self {
            sku: sku.to_string(),
            name: offer.name().to_owned(),
            price_minor: offer.price_minor(),
            currency: offer.currency().to_owned(),
            active: offer.active(),
        }
    }
}

impl StockView {
    pub(crate) fn of(sku: &Sku, stock: stock::StockCount) -> Self {
        Self {
            sku: sku.to_string(),
            available: stock.available(),
            reserved: stock.reserved(),
            sold: stock.sold(),
            stocked: stock.stocked(),
        }
    }
}
