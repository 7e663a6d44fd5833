//! The decider of this house: reservations, and the products whose stock they move.
//!
//! A reservation is decided over itself *and* the stock of its lines, so both are one state. A
//! batch brings in the rows that it needs, and its commands follow each other in memory: three
//! hundred orders for one product move its stock three hundred times and write it once.
//!
//! **Architecture invariant:** what is held for orders and what products say is held are the same
//! number, after every event.

use std::collections::BTreeMap;

use shared::decider::Decider;

use super::{
    naming::{Lines, OrderId, Quantity, Sku},
    product::{self, Product},
    rejection::Rejection,
    reservation::{self, Reservation},
    stock::Stock,
};

/// Reservations and products: all that there are, or those that a batch needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inventory {
    /// By order. An order that is missing has none.
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// By SKU. A product that is missing does not exist.
    pub products: BTreeMap<Sku, Product>,
}

/// What may be asked, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// For an order.
    Reservation {
        /// Which.
        order: OrderId,
        /// What.
        command: reservation::Command,
    },
    /// Of a product.
    Product {
        /// Which.
        sku: Sku,
        /// What.
        command: product::Command,
    },
}

/// What has happened, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// For an order.
    Reservation {
        /// Which.
        order: OrderId,
        /// What.
        event: reservation::Event,
    },
    /// To a product.
    Product {
        /// Which.
        sku: Sku,
        /// What.
        event: product::Event,
    },
}

impl Event {
    /// Whether there is a product that was not there before.
    pub fn is_new_product(&self) -> bool {
        match self {
            Self::Product { event: product::Event::Listed { .. }, .. } => true,
            Self::Product {
                event: product::Event::Changed { .. } | product::Event::Restocked { .. },
                ..
            }
            | Self::Reservation { .. } => false,
        }
    }

    /// What kind of thing happened; a stable name for numbers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reservation { event, .. } => match event {
                reservation::Event::Reserved { .. } => "reserved",
                reservation::Event::Rejected { .. } => "rejected",
                reservation::Event::Sold => "sold",
                reservation::Event::Released { .. } => "released",
                reservation::Event::Fenced => "fenced",
            },
            Self::Product { event, .. } => match event {
                product::Event::Listed { .. } => "listed",
                product::Event::Changed { .. } => "changed",
                product::Event::Restocked { .. } => "restocked",
            },
        }
    }
}

impl Decider for Inventory {
    type State = Self;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn initial() -> Self {
        Self::default()
    }

    fn decide(inventory: &Self, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Reservation { order, command } => {
                let reservation = inventory.reservations.get(order);
                let events = reservation::decide(reservation, command, |sku| {
                    inventory.products.get(sku).map_or(0, |it| it.stock.available())
                })?;
                let of_order = |event| Event::Reservation { order: *order, event };
                Ok(events.into_iter().map(of_order).collect())
            }
            Command::Product { sku, command } => {
                let events = product::decide(inventory.products.get(sku), command)?;
                let of_product = |event| Event::Product { sku: sku.clone(), event };
                Ok(events.into_iter().map(of_product).collect())
            }
        }
    }

    fn evolve(mut inventory: Self, event: &Event) -> Self {
        match event {
            Event::Reservation { order, event } => inventory.take_in(*order, event),
            Event::Product { sku, event } => {
                let product = inventory.products.remove(sku);
                inventory.products.insert(sku.clone(), product::evolve(product, sku, event));
            }
        }
        inventory
    }
}

impl Inventory {
    /// Takes in what happened for an order: the reservation's next stage, and the stock it moves.
    fn take_in(&mut self, order: OrderId, event: &reservation::Event) {
        use Reservation as R;
        use reservation::Event as E;

        let next = match (self.reservations.remove(&order), event) {
            (None, E::Reserved { lines }) => {
                self.move_stock(lines, Stock::reserve);
                R::Reserved(lines.clone())
            }
            (None, E::Rejected { .. }) => R::Rejected,
            (None, E::Fenced) => R::Fenced,
            (Some(R::Reserved(lines)), E::Sold) => {
                self.move_stock(&lines, Stock::sell);
                R::Sold(lines)
            }
            (Some(R::Reserved(lines)), E::Released { .. }) => {
                self.move_stock(&lines, Stock::let_go);
                R::Released
            }
            (Some(R::Sold(lines)), E::Released { .. }) => {
                self.move_stock(&lines, Stock::take_back);
                R::Released
            }
            (reservation, event) => {
                unreachable!("{event:?} was not decided for {order:?}: {reservation:?}")
            }
        };
        self.reservations.insert(order, next);
    }

    fn move_stock(&mut self, lines: &Lines, by: fn(Stock, u64) -> Stock) {
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
