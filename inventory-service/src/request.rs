//! What is asked of products and reservations, by callers and messages alike.

use shared::message::TraceParent;

use crate::domain::inventory::InventoryCommand;

/// What is asked of a product or a reservation.
#[derive(Clone, Debug, PartialEq)]
pub struct StockRequest {
    /// What is asked.
    pub command: InventoryCommand,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}
