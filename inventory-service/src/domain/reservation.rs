//! What is held for an order.
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
//! (fenced) and before its confirmation (released, commit: nothing). What no order of reading can
//! explain is a contradiction: a confirmation needs a reservation that we must have said ourselves.
//!
//! **Architecture invariant:** all lines are held or none.

use super::{
    naming::{OrderLines, Quantity, Sku},
    rejection::InventoryRejection,
};

/// Where the reservation of an order stands.
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
    /// What was held is available again.
    Released,
}

impl Reservation {
    /// What it holds, reserved or sold.
    pub fn held(&self) -> Option<&OrderLines> {
        match self {
            Self::Reserved(lines) | Self::Sold(lines) => Some(lines),
            Self::Fenced | Self::Rejected | Self::Released => None,
        }
    }
}

/// What may be asked for an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReservationCommand {
    /// Hold every line, or none: the order was placed.
    Reserve {
        /// What it wants.
        lines: OrderLines,
    },
    /// What is held is sold: the order was confirmed.
    Commit,
    /// Let go: the order was cancelled.
    Release,
}

/// What has happened for an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReservationEvent {
    /// Its lines are held.
    Reserved {
        /// What is held.
        lines: OrderLines,
    },
    /// Not every line was there.
    Rejected {
        /// What was short.
        missing: Vec<ShortLine>,
    },
    /// What was held is sold.
    Sold,
    /// What was held or sold is available again.
    Released {
        /// What was let go.
        lines: OrderLines,
    },
    /// It was cancelled before it was placed.
    Fenced,
}

/// A line that is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShortLine {
    /// Of what.
    pub sku: Sku,
    /// How many were asked for.
    pub requested: Quantity,
    /// How many there were; 0 of what is unknown.
    pub available: u64,
}

/// The table. `available` tells how much of a product there is.
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
        // Repeats, and what was overtaken by the cancellation.
        (
            Some(R::Fenced | R::Reserved(_) | R::Sold(_) | R::Rejected | R::Released),
            C::Reserve { .. },
        )
        | (Some(R::Sold(_) | R::Released), C::Commit)
        | (Some(R::Fenced | R::Rejected | R::Released), C::Release) => Ok(vec![]),
        // What can never be.
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
