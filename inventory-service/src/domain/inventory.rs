//! The decider of this service: reservations, and the products whose stock they move.
//!
//! A reservation is decided over itself *and* the stock of its lines, so both are one state. A
//! batch loads the rows that it needs, and its commands run one after the other in memory: three
//! hundred orders for one product move its stock three hundred times and write it once.
//!
//! **Architecture invariant:** after every event, the quantity that reservations hold equals the
//! quantity that products count as reserved or sold.

use std::collections::BTreeMap;

use shared::decider::Decider;

use super::{
    naming::{OrderId, OrderLines, Quantity, Sku},
    product::{self, Product},
    rejection::InventoryRejection,
    reservation::{self, Reservation},
    stock::StockCount,
};

/// Reservations and products: all of them, or those that a batch needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inventory {
    /// By order. An order that is missing has no reservation.
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// By SKU. A product that is missing does not exist.
    pub products: BTreeMap<Sku, Product>,
}

/// A command and the order or product that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InventoryCommand {
    Reservation { order: OrderId, command: reservation::ReservationCommand },
    Product { sku: Sku, command: product::ProductCommand },
}

/// An event and the order or product that it changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InventoryEvent {
    Reservation { order: OrderId, event: reservation::ReservationEvent },
    Product { sku: Sku, event: product::ProductEvent },
}

impl InventoryEvent {
    /// Whether the event creates a product.
    pub fn is_new_product(&self) -> bool {
        match self {
            Self::Product { event: product::ProductEvent::Listed { .. }, .. } => true,
            Self::Product {
                event:
                    product::ProductEvent::Changed { .. } | product::ProductEvent::Restocked { .. },
                ..
            }
            | Self::Reservation { .. } => false,
        }
    }

    /// The kind of the event: a stable name for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reservation { event, .. } => match event {
                reservation::ReservationEvent::Reserved { .. } => "reserved",
                reservation::ReservationEvent::Rejected { .. } => "rejected",
                reservation::ReservationEvent::Sold => "sold",
                reservation::ReservationEvent::Released { .. } => "released",
                reservation::ReservationEvent::Fenced => "fenced",
            },
            Self::Product { event, .. } => match event {
                product::ProductEvent::Listed { .. } => "listed",
                product::ProductEvent::Changed { .. } => "changed",
                product::ProductEvent::Restocked { .. } => "restocked",
            },
        }
    }
}

impl Decider for Inventory {
    type State = Self;
    type Command = InventoryCommand;
    type Event = InventoryEvent;
    type Rejection = InventoryRejection;

    fn initial() -> Self {
        Self::default()
    }

    fn decide(
        inventory: &Self,
        command: &InventoryCommand,
    ) -> Result<Vec<InventoryEvent>, InventoryRejection> {
        match command {
            InventoryCommand::Reservation { order, command } => {
                let reservation = inventory.reservations.get(order);
                let events = reservation::decide(reservation, command, |sku| {
                    inventory.products.get(sku).map_or(0, |product| product.stock.available())
                })?;
                let of_order = |event| InventoryEvent::Reservation { order: *order, event };
                Ok(events.into_iter().map(of_order).collect())
            }
            InventoryCommand::Product { sku, command } => {
                let events = product::decide(inventory.products.get(sku), command)?;
                let of_product = |event| InventoryEvent::Product { sku: sku.clone(), event };
                Ok(events.into_iter().map(of_product).collect())
            }
        }
    }

    fn evolve(mut inventory: Self, event: &InventoryEvent) -> Self {
        match event {
            InventoryEvent::Reservation { order, event } => inventory.apply(*order, event),
            InventoryEvent::Product { sku, event } => {
                let product = inventory.products.remove(sku);
                inventory.products.insert(sku.clone(), product::evolve(product, sku, event));
            }
        }
        inventory
    }
}

impl Inventory {
    /// Applies an event of an order: the reservation's next stage, and the stock that it moves.
    fn apply(&mut self, order: OrderId, event: &reservation::ReservationEvent) {
        use Reservation as R;
        use reservation::ReservationEvent as E;

        let next = match (self.reservations.remove(&order), event) {
            (None, E::Reserved { lines }) => {
                self.move_stock(lines, StockCount::reserve);
                R::Reserved(lines.clone())
            }
            (None, E::Rejected { .. }) => R::Rejected,
            (None, E::Fenced) => R::Fenced,
            (Some(R::Reserved(lines)), E::Sold) => {
                self.move_stock(&lines, StockCount::sell);
                R::Sold(lines)
            }
            (Some(R::Reserved(lines)), E::Released { .. }) => {
                self.move_stock(&lines, StockCount::let_go);
                R::Released
            }
            (Some(R::Sold(lines)), E::Released { .. }) => {
                self.move_stock(&lines, StockCount::take_back);
                R::Released
            }
            (reservation, event) => {
                unreachable!("{event:?} was not decided for {order:?}: {reservation:?}")
            }
        };
        self.reservations.insert(order, next);
    }

    fn move_stock(&mut self, lines: &OrderLines, by: fn(StockCount, u64) -> StockCount) {
        for (sku, quantity) in lines.iter() {
            let Some(product) = self.products.get_mut(sku) else {
                unreachable!("{sku} has stock that moves and is no product");
            };
            product.stock = by(product.stock, Quantity::count(quantity));
        }
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
