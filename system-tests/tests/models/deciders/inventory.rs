//! Inventory-service's decider: one lamp or none on the shelf, and another order that wants it too.

use inventory_service::domain::{
    inventory::{Inventory, InventoryCommand, InventoryEvent},
    naming::{OrderId, OrderLines, Quantity, Sku},
    product::{self, ProductOffer},
    reservation::{self, Reservation},
};
use uuid::Uuid;

use super::not_addressed;
use crate::{
    unrolled::{Bend, Deed, Unrolled},
    words::{Service, Word},
};

/// The commands, in the order of [`unroll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Introduce,
    Reserve,
    Commit,
    Release,
    /// Another order takes the lamp.
    RivalReserves,
    /// And gives it back.
    RivalReleases,
}

/// What the order's reservation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    Nothing,
    Reserved,
    Sold,
}

const ORDER: OrderId = OrderId(Uuid::from_u128(1));
const RIVAL: OrderId = OrderId(Uuid::from_u128(2));

pub(crate) fn unroll(bend: Bend<Inventory>) -> Unrolled<Inventory> {
    let of = |order, command| InventoryCommand::Reservation { order, command };
    let lamp = Sku::parse("lamp").unwrap();
    let lines = || OrderLines::new([(lamp.clone(), Quantity::ONE)]).unwrap();
    let offer =
        ProductOffer::new("Lamp".to_owned(), super::TOTAL_MINOR, "EUR".to_owned(), true).unwrap();
    let introduce = product::ProductCommand::Introduce { offer, quantity: Some(Quantity::ONE) };
    let commands = [
        InventoryCommand::Product { sku: lamp.clone(), command: introduce },
        of(ORDER, reservation::ReservationCommand::Reserve { lines: lines() }),
        of(ORDER, reservation::ReservationCommand::Commit),
        of(ORDER, reservation::ReservationCommand::Release),
        of(RIVAL, reservation::ReservationCommand::Reserve { lines: lines() }),
        of(RIVAL, reservation::ReservationCommand::Release),
    ];
    Unrolled::new(&commands, bend, deeds)
}

fn deeds(event: &InventoryEvent) -> Vec<Deed> {
    use reservation::ReservationEvent as E;
    match event {
        InventoryEvent::Reservation { order: ORDER, event: E::Reserved { .. } } => {
            vec![Deed::Say(Word::StockReserved)]
        }
        InventoryEvent::Reservation { order: ORDER, event: E::Rejected { .. } } => {
            vec![Deed::Say(Word::StockRejected)]
        }
        InventoryEvent::Reservation { order: ORDER, event: E::Released { .. } } => {
            vec![Deed::Say(Word::StockReleased)]
        }
        InventoryEvent::Reservation { event: E::Sold | E::Fenced, .. }
        | InventoryEvent::Reservation { .. }
        | InventoryEvent::Product { .. } => vec![],
    }
}

/// The command of a message.
pub(crate) fn heard(word: Word) -> Ask {
    match word {
        Word::OrderPlaced => Ask::Reserve,
        Word::OrderConfirmed => Ask::Commit,
        Word::OrderCancelled => Ask::Release,
        Word::StockReserved
        | Word::StockRejected
        | Word::StockReleased
        | Word::PaymentDone
        | Word::PaymentDoneOtherwise
        | Word::PaymentFailed
        | Word::PaymentRefunded
        | Word::PaymentUnderReview
        | Word::PaymentUnderReviewAgain => not_addressed(Service::Inventory, word),
    }
}

pub(crate) fn holding(inventory: &Inventory) -> Holding {
    match inventory.reservations.get(&ORDER) {
        Some(Reservation::Reserved(_)) => Holding::Reserved,
        Some(Reservation::Sold(_)) => Holding::Sold,
        None | Some(Reservation::Fenced | Reservation::Rejected | Reservation::Released) => {
            Holding::Nothing
        }
    }
}

/// Whether what products say is held is what reservations hold, and nothing is lost.
pub(crate) fn adds_up(inventory: &Inventory) -> bool {
    let count = |of: fn(&Reservation) -> bool| {
        inventory.reservations.values().filter(|reservation| of(reservation)).count() as u64
    };
    let reserved = count(|reservation| matches!(reservation, Reservation::Reserved(_)));
    let sold = count(|reservation| matches!(reservation, Reservation::Sold(_)));
    inventory.products.values().all(|product| {
        let stock = product.stock;
        (stock.reserved(), stock.sold()) == (reserved, sold)
            && stock.available() + reserved + sold == stock.stocked()
    })
}

/// Whether the other order holds the lamp.
pub(crate) fn rival_holds(inventory: &Inventory) -> bool {
    inventory.reservations.get(&RIVAL).is_some_and(|reservation| reservation.held().is_some())
}
