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
    naming::{Lines, Quantity, Sku},
    rejection::Rejection,
};

/// Where the reservation of an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reservation {
    /// Cancelled before it was placed: nothing will ever be held.
    Fenced,
    /// Its lines are held.
    Reserved(Lines),
    /// Its lines are sold.
    Sold(Lines),
    /// Not every line was there: nothing is held.
    Rejected,
    /// What was held is available again.
    Released,
}

impl Reservation {
    /// What it holds, reserved or sold.
    pub fn held(&self) -> Option<&Lines> {
        match self {
            Self::Reserved(lines) | Self::Sold(lines) => Some(lines),
            Self::Fenced | Self::Rejected | Self::Released => None,
        }
    }
}

/// What may be asked for an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Hold every line, or none: the order was placed.
    Reserve {
        /// What it wants.
        lines: Lines,
    },
    /// What is held is sold: the order was confirmed.
    Commit,
    /// Let go: the order was cancelled.
    Release,
}

/// What has happened for an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its lines are held.
    Reserved {
        /// What is held.
        lines: Lines,
    },
    /// Not every line was there.
    Rejected {
        /// What was short.
        missing: Vec<Missing>,
    },
    /// What was held is sold.
    Sold,
    /// What was held or sold is available again.
    Released {
        /// What was let go.
        lines: Lines,
    },
    /// It was cancelled before it was placed.
    Fenced,
}

/// A line that is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
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
    command: &Command,
    available: impl Fn(&Sku) -> u64,
) -> Result<Vec<Event>, Rejection> {
    use Command as C;
    use Reservation as R;

    match (reservation, command) {
        // The way forward.
        (None, C::Reserve { lines }) => Ok(vec![reserve(lines, available)]),
        (Some(R::Reserved(_)), C::Commit) => Ok(vec![Event::Sold]),
        // The way back.
        (Some(R::Reserved(lines) | R::Sold(lines)), C::Release) => {
            Ok(vec![Event::Released { lines: lines.clone() }])
        }
        (None, C::Release) => Ok(vec![Event::Fenced]),
        // Repeats, and what was overtaken by the cancellation.
        (
            Some(R::Fenced | R::Reserved(_) | R::Sold(_) | R::Rejected | R::Released),
            C::Reserve { .. },
        )
        | (Some(R::Sold(_) | R::Released), C::Commit)
        | (Some(R::Fenced | R::Rejected | R::Released), C::Release) => Ok(vec![]),
        // What can never be.
        (None, C::Commit) => Err(Rejection::NeverReserved),
        (Some(R::Rejected), C::Commit) => Err(Rejection::WasRejected),
        (Some(R::Fenced), C::Commit) => Err(Rejection::WasFenced),
    }
}

fn reserve(lines: &Lines, available: impl Fn(&Sku) -> u64) -> Event {
    let missing: Vec<Missing> = lines
        .iter()
        .map(|(sku, requested)| Missing { sku: sku.clone(), requested, available: available(sku) })
        .filter(|it| it.available < it.requested.count())
        .collect();
    if missing.is_empty() {
        Event::Reserved { lines: lines.clone() }
    } else {
        Event::Rejected { missing }
    }
}
