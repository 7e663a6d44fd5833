//! Domain ⇄ contract: maps incoming messages to commands and events to outgoing messages.
//!
//! **Architecture invariant:** only this file knows both domain and contract types.

use contract::{
    MissingLine, ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_PLACED, OrderCancelled, OrderConfirmed,
    OrderLine, OrderPlaced, ProductChanged, StockLine, StockRejected, StockReleased, StockReserved,
};
use shared::{
    codec::{AvroCodec, EventMeta, RecordKind},
    fault::Fault,
    message::{Message, OutgoingMessage},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    inventory::{InventoryCommand, InventoryEvent},
    naming::{InvalidLines, OrderId, OrderLines, Quantity, Sku},
    product::{ProductEvent, ProductOffer},
    reservation::{ReservationCommand, ReservationEvent, ShortLine},
};

/// The kinds of records that this service publishes.
pub(crate) fn writes() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<StockReserved>(),
        RecordKind::of::<StockRejected>(),
        RecordKind::of::<StockReleased>(),
        RecordKind::of::<ProductChanged>(),
    ]
}

/// The kinds of records that this service reads.
pub(crate) fn reads() -> Vec<RecordKind> {
    vec![
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
    ]
}

/// Why a message that could be decoded is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRecord {
    /// A line names a text that is not a SKU.
    #[error("{0:?} cannot be a SKU")]
    Sku(String),
    /// A line has a quantity below one.
    #[error("a line wants {quantity} of {sku}")]
    Quantity { sku: String, quantity: i32 },
    /// The lines contradict each other.
    #[error("the lines cannot be held")]
    Lines(#[source] InvalidLines),
    /// The topic is not one that this service reads.
    #[error("{0} is not read here")]
    Topic(String),
}

/// Decodes a message. A record that no order can have caused is poison.
pub(crate) async fn decode(
    codec: &AvroCodec,
    message: &Message,
) -> Result<InventoryCommand, Fault> {
    let (order_id, command) = match message.incoming.topic.as_str() {
        ORDER_PLACED => {
            let record: OrderPlaced = codec.decode(message).await?;
            (record.order_id, reserve(&record).map_err(Fault::poison)?)
        }
        ORDER_CONFIRMED => {
            let record: OrderConfirmed = codec.decode(message).await?;
            (record.order_id, ReservationCommand::Commit)
        }
        ORDER_CANCELLED => {
            let record: OrderCancelled = codec.decode(message).await?;
            (record.order_id, ReservationCommand::Release)
        }
        other => return Err(Fault::poison(InvalidRecord::Topic(other.to_owned()))),
    };
    message.check_subject(&order_id.to_string()).map_err(Fault::poison)?;
    Ok(InventoryCommand::Reservation { order: OrderId(order_id), command })
}

/// An order was placed: hold its lines.
fn reserve(placed: &OrderPlaced) -> Result<ReservationCommand, InvalidRecord> {
    let lines = placed.lines.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    let lines = OrderLines::new(lines).map_err(InvalidRecord::Lines)?;
    Ok(ReservationCommand::Reserve { lines })
}

fn line(line: &OrderLine) -> Result<(Sku, Quantity), InvalidRecord> {
    let sku = Sku::parse(&line.sku).ok_or_else(|| InvalidRecord::Sku(line.sku.clone()))?;
    let quantity = Quantity::new(line.quantity).ok_or_else(|| InvalidRecord::Quantity {
        sku: line.sku.clone(),
        quantity: line.quantity,
    })?;
    Ok((sku, quantity))
}

/// The message for an event, if it is published; only then is the metadata asked for.
pub(crate) fn encode(
    codec: &AvroCodec,
    event: &InventoryEvent,
    meta: impl FnOnce() -> EventMeta,
) -> Result<Option<OutgoingMessage>, Fault> {
    match event {
        InventoryEvent::Reservation { order, event } => {
            encode_reservation(codec, order.0, event, meta)
        }
        InventoryEvent::Product { sku, event } => match event {
            ProductEvent::Listed { offer } | ProductEvent::Changed { offer } => {
                let meta = meta();
                let record = product_changed(sku, offer, meta.at);
                codec.message(meta, &record).map(Some)
            }
            ProductEvent::Restocked { .. } => Ok(None),
        },
    }
}

fn encode_reservation(
    codec: &AvroCodec,
    order_id: Uuid,
    event: &ReservationEvent,
    meta: impl FnOnce() -> EventMeta,
) -> Result<Option<OutgoingMessage>, Fault> {
    let message = match event {
        ReservationEvent::Reserved { lines } => {
            let (meta, lines) = (meta(), stock_lines(lines));
            let record = StockReserved { order_id, lines, reserved_at: meta.at };
            codec.message(meta, &record)?
        }
        ReservationEvent::Rejected { missing } => {
            let (meta, missing) = (meta(), missing.iter().map(missing_line).collect());
            let record = StockRejected { order_id, missing, rejected_at: meta.at };
            codec.message(meta, &record)?
        }
        ReservationEvent::Released { lines } => {
            let (meta, lines) = (meta(), stock_lines(lines));
            let record = StockReleased { order_id, lines, released_at: meta.at };
            codec.message(meta, &record)?
        }
        ReservationEvent::Sold | ReservationEvent::Fenced => return Ok(None),
    };
    Ok(Some(message))
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
