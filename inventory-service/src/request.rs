//! A request to products and reservations, from HTTP callers and from messages.

use shared::message::TraceContext;

use crate::domain::inventory::InventoryCommand;

/// A command for a product or a reservation, with its trace.
#[derive(Clone, Debug, PartialEq)]
pub struct StockRequest {
    pub command: InventoryCommand,
    /// The trace that the request belongs to.
    pub trace: Option<TraceContext>,
}
