//! Domain ⇄ contract: which message asks what, and which event is said how.
//!
//! **Architecture invariant:** only this file knows both.

use shared::{
    codec::{Codec, Kind, Says},
    contract::{
        Line, MissingLine, OrderCancelled, OrderConfirmed, OrderPlaced, ProductChanged, StockLine,
        StockRejected, StockReleased, StockReserved,
    },
    fault::Fault,
    message::Outgoing,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        inventory::{Command, Event},
        naming::{InvalidLines, Lines, OrderId, Quantity, Sku},
        product::{self, Offer},
        reservation::{self, Missing},
    },
    store::Subject,
};

/// What this service says.
pub(crate) fn says() -> [Kind; 4] {
    [
        Kind::of::<StockReserved>(),
        Kind::of::<StockRejected>(),
        Kind::of::<StockReleased>(),
        Kind::of::<ProductChanged>(),
    ]
}

/// What this service reads.
pub(crate) fn reads() -> [Kind; 3] {
    [Kind::of::<OrderPlaced>(), Kind::of::<OrderConfirmed>(), Kind::of::<OrderCancelled>()]
}

/// What is wrong with a message whose bytes are in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// The body speaks of another order than the outside.
    #[error("the body speaks of order {body}, the outside of {outside}")]
    OtherOrder {
        /// In the body.
        body: Uuid,
        /// On the outside.
        outside: String,
    },
    /// A line names what cannot be a product.
    #[error("{0:?} cannot be a SKU")]
    Sku(String),
    /// A line wants less than one.
    #[error("a line wants {quantity} of {sku}")]
    Quantity {
        /// Of what.
        sku: String,
        /// How many.
        quantity: i32,
    },
    /// The lines do not go together.
    #[error("the lines cannot be held")]
    Lines(#[source] InvalidLines),
}

/// An order was placed: hold its lines.
pub(crate) fn reserve(placed: &OrderPlaced, subject: &str) -> Result<Command, Unusable> {
    let order = order(placed.order_id, subject)?;
    let lines = placed.lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let lines = Lines::new(lines).map_err(Unusable::Lines)?;
    Ok(Command::Reservation { order, command: reservation::Command::Reserve { lines } })
}

/// An order was confirmed: what is held is sold.
pub(crate) fn commit(confirmed: &OrderConfirmed, subject: &str) -> Result<Command, Unusable> {
    let order = order(confirmed.order_id, subject)?;
    Ok(Command::Reservation { order, command: reservation::Command::Commit })
}

/// An order was cancelled: let go.
pub(crate) fn release(cancelled: &OrderCancelled, subject: &str) -> Result<Command, Unusable> {
    let order = order(cancelled.order_id, subject)?;
    Ok(Command::Reservation { order, command: reservation::Command::Release })
}

fn order(body: Uuid, subject: &str) -> Result<OrderId, Unusable> {
    if Uuid::parse_str(subject) == Ok(body) {
        Ok(OrderId(body))
    } else {
        Err(Unusable::OtherOrder { body, outside: subject.to_owned() })
    }
}

fn line(line: &Line) -> Result<(Sku, Quantity), Unusable> {
    let sku = Sku::parse(&line.sku).ok_or_else(|| Unusable::Sku(line.sku.clone()))?;
    let quantity = Quantity::new(line.quantity)
        .ok_or_else(|| Unusable::Quantity { sku: line.sku.clone(), quantity: line.quantity })?;
    Ok((sku, quantity))
}

/// An event as it is said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Saying {
    /// Every line is held.
    Reserved(StockReserved),
    /// Not every line was there.
    Rejected(StockRejected),
    /// What was held is available again.
    Released(StockReleased),
    /// A product is new or different.
    Changed(ProductChanged),
}

impl Saying {
    /// How an event is said and whom it is about; none of what is nobody else's affair.
    pub(crate) fn of(event: &Event, at: OffsetDateTime) -> Option<(Subject, Self)> {
        match event {
            Event::Reservation { order, event } => {
                let saying = Self::of_order(order.0, event, at)?;
                Some((Subject::Order(*order), saying))
            }
            Event::Product { sku, event } => {
                let saying = Self::of_product(sku, event, at)?;
                Some((Subject::Product(sku.clone()), saying))
            }
        }
    }

    fn of_order(order_id: Uuid, event: &reservation::Event, at: OffsetDateTime) -> Option<Self> {
        match event {
            reservation::Event::Reserved { lines } => Some(Self::Reserved(StockReserved {
                order_id,
                lines: stock_lines(lines),
                reserved_at: at,
            })),
            reservation::Event::Rejected { missing } => Some(Self::Rejected(StockRejected {
                order_id,
                missing: missing.iter().map(missing_line).collect(),
                rejected_at: at,
            })),
            reservation::Event::Released { lines } => Some(Self::Released(StockReleased {
                order_id,
                lines: stock_lines(lines),
                released_at: at,
            })),
            reservation::Event::Sold | reservation::Event::Fenced => None,
        }
    }

    fn of_product(sku: &Sku, event: &product::Event, at: OffsetDateTime) -> Option<Self> {
        match event {
            product::Event::Listed { offer } | product::Event::Changed { offer } => {
                Some(Self::Changed(product_changed(sku, offer, at)))
            }
            product::Event::Restocked { .. } => None,
        }
    }

    /// The message that says it.
    pub(crate) fn message(&self, codec: &Codec, says: Says) -> Result<Outgoing, Fault> {
        match self {
            Self::Reserved(record) => codec.message(says, record),
            Self::Rejected(record) => codec.message(says, record),
            Self::Released(record) => codec.message(says, record),
            Self::Changed(record) => codec.message(says, record),
        }
    }
}

/// The key under which a subject's messages stay in order.
pub(crate) fn key(subject: &Subject) -> String {
    match subject {
        Subject::Order(order) => order.0.to_string(),
        Subject::Product(sku) => sku.to_string(),
    }
}

fn stock_lines(lines: &Lines) -> Vec<StockLine> {
    let line = |(sku, quantity): (&Sku, Quantity)| StockLine {
        sku: sku.to_string(),
        quantity: quantity.get(),
    };
    lines.iter().map(line).collect()
}

fn missing_line(missing: &Missing) -> MissingLine {
    MissingLine {
        sku: missing.sku.to_string(),
        requested: missing.requested.get(),
        // Less than was requested, so it fits.
        available: i32::try_from(missing.available).unwrap_or(i32::MAX),
    }
}

fn product_changed(sku: &Sku, offer: &Offer, changed_at: OffsetDateTime) -> ProductChanged {
    ProductChanged {
        sku: sku.to_string(),
        name: offer.name().to_owned(),
        price_minor: offer.price_minor(),
        currency: offer.currency().to_owned(),
        active: offer.active(),
        changed_at,
    }
}

#[cfg(test)]
mod tests;
