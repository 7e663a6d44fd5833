//! Properties of every history: no stock is lost or sold twice, a repeated command does nothing.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use shared::decider::{self, Decider as _};
use uuid::Uuid;

use super::{
    super::{
        naming::{OrderId, OrderLines, Quantity, Sku},
        product::{self, ProductOffer},
        reservation::{self, Reservation},
    },
    Inventory, InventoryCommand, InventoryEvent,
};

/// Few orders and few products, so that histories touch the same rows.
fn command() -> impl Strategy<Value = InventoryCommand> {
    prop_oneof![
        6 => (0..5_u128, reservation_command()).prop_map(|(order, command)| {
            InventoryCommand::Reservation { order: OrderId(Uuid::from_u128(order)), command }
        }),
        2 => (sku(), product_command())
            .prop_map(|(sku, command)| InventoryCommand::Product { sku, command }),
    ]
}

fn reservation_command() -> impl Strategy<Value = reservation::ReservationCommand> {
    prop_oneof![
        2 => vec((sku(), quantity(4)), 1..4).prop_filter_map("a SKU twice", |lines| {
            Some(reservation::ReservationCommand::Reserve { lines: OrderLines::new(lines).ok()? })
        }),
        1 => Just(reservation::ReservationCommand::Commit),
        1 => Just(reservation::ReservationCommand::Release),
    ]
}

fn product_command() -> impl Strategy<Value = product::ProductCommand> {
    prop_oneof![
        offer().prop_map(|offer| product::ProductCommand::Put { offer }),
        (offer(), option::of(quantity(10)))
            .prop_map(|(offer, quantity)| product::ProductCommand::Introduce { offer, quantity }),
        quantity(10).prop_map(|quantity| product::ProductCommand::Restock { quantity }),
    ]
}

fn offer() -> impl Strategy<Value = ProductOffer> {
    (0..3_i64).prop_map(|price| {
        ProductOffer::new("It".to_owned(), price, "EUR".to_owned(), true).unwrap()
    })
}

fn sku() -> impl Strategy<Value = Sku> {
    "[a-d]".prop_map(|text| Sku::parse(&text).unwrap())
}

fn quantity(max: i32) -> impl Strategy<Value = Quantity> {
    (1..=max).prop_map(|count| Quantity::new(count).unwrap())
}

proptest! {
    #[test]
    fn stock_is_conserved_under_any_history(commands in vec(command(), 0..60)) {
        let mut inventory = Inventory::default();
        let mut delivered = BTreeMap::<Sku, u64>::new();
        for command in &commands {
            for event in decider::step::<Inventory>(&mut inventory, command).unwrap_or_default() {
                if let InventoryEvent::Product { sku, event: product::ProductEvent::Restocked { quantity } } = event {
                    *delivered.entry(sku).or_default() += quantity.count();
                }
            }
            let (reserved, sold) = held(&inventory);
            for (sku, product) in &inventory.products {
                let stock = product.stock;
                let total = stock.available() + stock.reserved() + stock.sold();
                let count = |of: &BTreeMap<Sku, u64>| of.get(sku).copied().unwrap_or(0);
                prop_assert_eq!(total, stock.stocked());
                prop_assert_eq!(stock.stocked(), count(&delivered));
                prop_assert_eq!(stock.reserved(), count(&reserved));
                prop_assert_eq!(stock.sold(), count(&sold));
            }
        }
    }

    #[test]
    fn a_command_that_comes_again_does_nothing(commands in vec(command(), 0..40)) {
        let mut inventory = Inventory::default();
        for command in &commands {
            let first = decider::step::<Inventory>(&mut inventory, command);
            // Repeated deliveries are recognised earlier, by their idempotency key.
            let delivery = matches!(
                command,
                InventoryCommand::Product { command: product::ProductCommand::Restock { .. }, .. }
            );
            if !delivery {
                let again = Inventory::decide(&inventory, command);
                prop_assert_eq!(again, first.map(|_events| vec![]));
            }
        }
    }

    #[test]
    fn an_end_is_an_end(commands in vec(command(), 0..60)) {
        let mut inventory = Inventory::default();
        for command in &commands {
            let before = inventory.reservations.clone();
            decider::step::<Inventory>(&mut inventory, command).ok();
            for (order, reservation) in before {
                let ended = match reservation {
                    Reservation::Fenced | Reservation::Rejected | Reservation::Released => true,
                    Reservation::Reserved(_) | Reservation::Sold(_) => false,
                };
                if ended {
                    prop_assert_eq!(&inventory.reservations[&order], &reservation);
                }
            }
        }
    }

    #[test]
    fn once_released_an_order_holds_nothing_whatever_is_read_in_which_order(
        before in vec(reservation_command(), 0..4),
        after in vec(reservation_command(), 0..4),
    ) {
        let order = OrderId(Uuid::from_u128(1));
        let mut inventory = Inventory::default();
        for sku in ["a", "b", "c", "d"] {
            let offer = ProductOffer::new(sku.to_owned(), 1, "EUR".to_owned(), true).unwrap();
            let command = product::ProductCommand::Introduce { offer, quantity: Quantity::new(3) };
            let command = InventoryCommand::Product { sku: Sku::parse(sku).unwrap(), command };
            decider::step::<Inventory>(&mut inventory, &command).unwrap();
        }
        let untouched = inventory.products.clone();
        let release = [reservation::ReservationCommand::Release];
        for command in before.iter().chain(&release).chain(&after) {
            let command = InventoryCommand::Reservation { order, command: command.clone() };
            decider::step::<Inventory>(&mut inventory, &command).ok();
        }
        prop_assert_eq!(inventory.reservations[&order].held(), None);
        prop_assert_eq!(inventory.products, untouched);
    }
}

/// The quantity of each product in reservations: reserved and sold.
fn held(inventory: &Inventory) -> (BTreeMap<Sku, u64>, BTreeMap<Sku, u64>) {
    let (mut reserved, mut sold) = (BTreeMap::new(), BTreeMap::new());
    for reservation in inventory.reservations.values() {
        let (into, lines) = match reservation {
            Reservation::Reserved(lines) => (&mut reserved, lines),
            Reservation::Sold(lines) => (&mut sold, lines),
            Reservation::Fenced | Reservation::Rejected | Reservation::Released => continue,
        };
        for (sku, quantity) in lines.iter() {
            *into.entry(sku.clone()).or_default() += quantity.count();
        }
    }
    (reserved, sold)
}
