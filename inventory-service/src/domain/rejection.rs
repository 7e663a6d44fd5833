//! Why a command is refused, for reservations and products alike.

use super::stock::StockCount;

/// Why the answer is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InventoryRejection {
    /// A confirmation of an order for which nothing was ever reserved.
    #[error("the order is confirmed and nothing was ever reserved for it")]
    NeverReserved,
    /// A confirmation of an order whose lines were not there.
    #[error("the order is confirmed and its lines were rejected")]
    WasRejected,
    /// A confirmation of an order that was cancelled before it was placed.
    #[error("the order is confirmed and was cancelled before anything was reserved")]
    WasFenced,
    /// A delivery of a product that nobody has listed.
    #[error("there is no such product")]
    UnknownProduct,
    /// A delivery beyond all stock.
    #[error("there cannot be more than {} of a product", StockCount::STOCKED_MAX)]
    StockLimit,
}
