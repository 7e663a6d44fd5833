//! Domain ⇄ contract: maps incoming messages to commands and events to outgoing messages.
//!
//! **Architecture invariant:** only this file knows both domain and contract types.

use shared::{
    codec::{AvroCodec, EventMeta, RecordKind},
    contract::{
        MissingLine, OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced, ProductChanged,
        StockLine, StockRejected, StockReleased, StockReserved,
    },
    fault::Fault,
    message::OutgoingMessage,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        inventory::{InventoryCommand, InventoryEvent},
        naming::{InvalidLines, OrderId, OrderLines, Quantity, Sku},
        product::{self, ProductOffer},
        reservation::{self, ShortLine},
    },
    store::MessageSubject,
};

/// The records that this service publishes.
pub(crate) fn writes() -> [RecordKind; 4] {
    [
        RecordKind::of::<StockReserved>(),
        RecordKind::of::<StockRejected>(),
        RecordKind::of::<StockReleased>(),
        RecordKind::of::<ProductChanged>(),
    ]
}

/// The records that this service consumes.
pub(crate) fn reads() -> [RecordKind; 3] {
    [
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
    ]
}

/// Why a message that could be decoded is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRecord {
    /// The body names another order than the message's metadata.
    #[error("the body speaks of order {body}, the outside of {outside}")]
    OtherOrder { body: Uuid, outside: String },
    /// A line names a text that is not a SKU.
    #[error("{0:?} cannot be a SKU")]
    Sku(String),
    /// A line has a quantity below one.
    #[error("a line wants {quantity} of {sku}")]
    Quantity { sku: String, quantity: i32 },
    /// The lines contradict each other.
    #[error("the lines cannot be held")]
    Lines(#[source] InvalidLines),
}

/// An order was placed: hold its lines.
pub(crate) fn reserve(
    placed: &OrderPlaced,
    subject: &str,
) -> Result<InventoryCommand, InvalidRecord> {
    let order = order(placed.order_id, subject)?;
    let lines = placed.lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let lines = OrderLines::new(lines).map_err(InvalidRecord::Lines)?;
    Ok(InventoryCommand::Reservation {
        order,
        command: reservation::ReservationCommand::Reserve { lines },
    })
}

/// An order was confirmed: sell the held lines.
pub(crate) fn commit(
    confirmed: &OrderConfirmed,
    subject: &str,
) -> Result<InventoryCommand, InvalidRecord> {
    let order = order(confirmed.order_id, subject)?;
    Ok(InventoryCommand::Reservation { order, command: reservation::ReservationCommand::Commit })
}

/// An order was cancelled: release its lines.
pub(crate) fn release(
    cancelled: &OrderCancelled,
    subject: &str,
) -> Result<InventoryCommand, InvalidRecord> {
    let order = order(cancelled.order_id, subject)?;
    Ok(InventoryCommand::Reservation { order, command: reservation::ReservationCommand::Release })
}

fn order(body: Uuid, subject: &str) -> Result<OrderId, InvalidRecord> {
    if Uuid::parse_str(subject) == Ok(body) {
        Ok(OrderId(body))
    } else {
        Err(InvalidRecord::OtherOrder { body, outside: subject.to_owned() })
    }
}

fn line(line: &OrderLine) -> Result<(Sku, Quantity), InvalidRecord> {
    let sku = Sku::parse(&line.sku).ok_or_else(|| InvalidRecord::Sku(line.sku.clone()))?;
    let quantity = Quantity::new(line.quantity).ok_or_else(|| InvalidRecord::Quantity {
        sku: line.sku.clone(),
        quantity: line.quantity,
    })?;
    Ok((sku, quantity))
}

/// An event as a contract record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StockRecord {
    /// Every line is held.
    Reserved(StockReserved),
    /// Not every line was there.
    Rejected(StockRejected),
    /// The held lines are available again.
    Released(StockReleased),
    /// A product is new or different.
    Changed(ProductChanged),
}

impl StockRecord {
    /// The record and the subject of an event; `None` if the event is not published.
    pub(crate) fn of(event: &InventoryEvent, at: OffsetDateTime) -> Option<(MessageSubject, Self)> {
        match event {
            InventoryEvent::Reservation { order, event } => {
                let saying = Self::of_order(order.0, event, at)?;
                Some((MessageSubject::Order(*order), saying))
            }
            InventoryEvent::Product { sku, event } => {
                let saying = Self::of_product(sku, event, at)?;
                Some((MessageSubject::Product(sku.clone()), saying))
            }
        }
    }

    fn of_order(
        order_id: Uuid,
        event: &reservation::ReservationEvent,
        at: OffsetDateTime,
    ) -> Option<Self> {
        match event {
            reservation::ReservationEvent::Reserved { lines } => {
                Some(Self::Reserved(StockReserved {
                    order_id,
                    lines: stock_lines(lines),
                    reserved_at: at,
                }))
            }
            reservation::ReservationEvent::Rejected { missing } => {
                Some(Self::Rejected(StockRejected {
                    order_id,
                    missing: missing.iter().map(missing_line).collect(),
                    rejected_at: at,
                }))
            }
            reservation::ReservationEvent::Released { lines } => {
                Some(Self::Released(StockReleased {
                    order_id,
                    lines: stock_lines(lines),
                    released_at: at,
                }))
            }
            reservation::ReservationEvent::Sold | reservation::ReservationEvent::Fenced => None,
        }
    }

    fn of_product(sku: &Sku, event: &product::ProductEvent, at: OffsetDateTime) -> Option<Self> {
        match event {
            product::ProductEvent::Listed { offer } | product::ProductEvent::Changed { offer } => {
                Some(Self::Changed(product_changed(sku, offer, at)))
            }
            product::ProductEvent::Restocked { .. } => None,
        }
    }

    /// The message that says it.
    pub(crate) fn message(
        &self,
        codec: &AvroCodec,
        meta: EventMeta,
    ) -> Result<OutgoingMessage, Fault> {
        match self {
            Self::Reserved(record) => codec.message(meta, record),
            Self::Rejected(record) => codec.message(meta, record),
            Self::Released(record) => codec.message(meta, record),
            Self::Changed(record) => codec.message(meta, record),
        }
    }
}

/// The key under which a subject's messages stay in order.
pub(crate) fn key(subject: &MessageSubject) -> String {
    match subject {
        MessageSubject::Order(order) => order.0.to_string(),
        MessageSubject::Product(sku) => sku.to_string(),
    }
}

fn stock_lines(lines: &OrderLines) -> Vec<StockLine> {
    let line = |(sku, quantity): (&Sku, Quantity)| StockLine {
        sku: sku.to_string(),
        quantity: quantity.get(),
    };
    lines.iter().map(line).collect()
}

fn missing_line(missing: &ShortLine) -> MissingLine {
    MissingLine {
        sku: missing.sku.to_string(),
        requested: missing.requested.get(),
        // Less than was requested, so it fits.
        available: i32::try_from(missing.available).unwrap_or(i32::MAX),
    }
}

fn product_changed(sku: &Sku, offer: &ProductOffer, changed_at: OffsetDateTime) -> ProductChanged {
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
