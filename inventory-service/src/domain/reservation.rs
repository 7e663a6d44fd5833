//! The reservation of an order: the stock that is held for the order's lines.
//!
//! ```text
//! (none) --reserve--> Reserved --commit--> Sold
//!    |  \                |                  |
//!    |   \               +-----release------+--> Released
//!    |    +--reserve, a line short--> Rejected
//!    +--release--> Fenced
//! ```
//!
//! | stage | reserve | reserve, a line short or unknown | commit | release |
//! | --- | --- | --- | --- | --- |
//! | none | reserved | rejected | contradiction | fenced |
//! | fenced | nothing | nothing | contradiction | nothing |
//! | reserved | nothing | nothing | sold | released |
//! | sold | nothing | nothing | nothing | released |
//! | rejected | nothing | nothing | contradiction | nothing |
//! | released | nothing | nothing | nothing | nothing |
//!
//! Topics are not ordered among each other, so a cancellation may be read before the order
//! (fenced) and before its confirmation (released, commit: nothing). A confirmation needs a
//! reservation that this service has published: without one it is a contradiction.
//!
//! **Architecture invariant:** either all lines of an order are held or none.

use super::{
    naming::{OrderLines, Quantity, Sku},
    rejection::InventoryRejection,
};

/// The stage of an order's reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// Cancelled before it was placed: nothing will ever be held.
    Fenced,
    /// Its lines are held.
    Reserved(OrderLines),
    /// Its lines are sold.
    Sold(OrderLines),
    /// Not every line was there: nothing is held.
    Rejected,
    /// The held lines are available again.
    Released,
}

impl Reservation {
    /// The lines that the reservation holds, reserved or sold.
    pub fn held(&self) -> Option<&OrderLines> {
        match self {
            Self::Reserved(lines) | Self::Sold(lines) => Some(lines),
            Self::Fenced | Self::Rejected | Self::Released => None,
        }
    }
}

/// A command for the reservation of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReservationCommand {
    /// Hold every line, or none: the order was placed.
    Reserve { lines: OrderLines },
    /// Mark the held lines as sold: the order was confirmed.
    Commit,
    /// Release the lines: the order was cancelled.
    Release,
}

/// An event of an order's reservation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReservationEvent {
    /// Its lines are held.
    Reserved { lines: OrderLines },
    /// Not every line was there.
    Rejected { missing: Vec<ShortLine> },
    /// The held lines are sold.
    Sold,
    /// Held or sold lines are available again.
    Released { lines: OrderLines },
    /// The order was cancelled before it was placed.
    Fenced,
}

/// A line that is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShortLine {
    pub sku: Sku,
    pub requested: Quantity,
    /// The available quantity; 0 if the product is unknown.
    pub available: u64,
}

/// The table above. `available` returns the available quantity of a product.
pub(super) fn decide(
    reservation: Option<&Reservation>,
    command: &ReservationCommand,
    available: impl Fn(&Sku) -> u64,
) -> Result<Vec<ReservationEvent>, InventoryRejection> {
    use Reservation as R;
    use ReservationCommand as C;

    match (reservation, command) {
        // The way forward.
        (None, C::Reserve { lines }) => Ok(vec![reserve(lines, available)]),
        (Some(R::Reserved(_)), C::Commit) => Ok(vec![ReservationEvent::Sold]),
        // The way back.
        (Some(R::Reserved(lines) | R::Sold(lines)), C::Release) => {
            Ok(vec![ReservationEvent::Released { lines: lines.clone() }])
        }
        (None, C::Release) => Ok(vec![ReservationEvent::Fenced]),
        // Repeats, and commands that arrive after the cancellation.
        (
            Some(R::Fenced | R::Reserved(_) | R::Sold(_) | R::Rejected | R::Released),
            C::Reserve { .. },
        )
        | (Some(R::Sold(_) | R::Released), C::Commit)
        | (Some(R::Fenced | R::Rejected | R::Released), C::Release) => Ok(vec![]),
        // Contradictions.
        (None, C::Commit) => Err(InventoryRejection::NeverReserved),
        (Some(R::Rejected), C::Commit) => Err(InventoryRejection::WasRejected),
        (Some(R::Fenced), C::Commit) => Err(InventoryRejection::WasFenced),
    }
}

fn reserve(lines: &OrderLines, available: impl Fn(&Sku) -> u64) -> ReservationEvent {
    let missing: Vec<ShortLine> = lines
        .iter()
        .map(|(sku, requested)| ShortLine {
            sku: sku.clone(),
            requested,
            available: available(sku),
        })
        .filter(|line| line.available < line.requested.count())
        .collect();
    if missing.is_empty() {
        ReservationEvent::Reserved { lines: lines.clone() }
    } else {
        ReservationEvent::Rejected { missing }
    }
}
