//! The reasons for which a command is refused, for reservations and products.

use super::stock::StockCount;

/// The reason for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InventoryRejection {
    /// A confirmation of an order for which nothing was ever reserved.
    #[error("the order is confirmed and nothing was ever reserved for it")]
    NeverReserved,
    /// A confirmation of an order whose lines were out of stock.
    #[error("the order is confirmed and its lines were rejected")]
    WasRejected,
    /// A confirmation of an order that was cancelled before it was placed.
    #[error("the order is confirmed and was cancelled before anything was reserved")]
    WasFenced,
    /// A delivery of a product that does not exist.
    #[error("there is no such product")]
    UnknownProduct,
    /// A delivery that exceeds the stock limit.
    #[error("there cannot be more than {} of a product", StockCount::STOCKED_MAX)]
    StockLimit,
}
