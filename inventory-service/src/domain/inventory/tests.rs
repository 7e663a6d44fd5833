use shared::decider::{Decider as _, given, replay};
use uuid::Uuid;

use super::{
    super::{
        naming::{OrderId, OrderLines, Quantity, Sku},
        product::{self, ProductOffer},
        reservation::{self, Reservation, ShortLine},
        stock::StockCount,
    },
    Inventory, InventoryCommand, InventoryEvent, InventoryRejection,
};

mod table;

const ORDER: OrderId = OrderId(Uuid::from_u128(1));

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn some(count: i32) -> Quantity {
    Quantity::new(count).unwrap()
}

fn lines() -> OrderLines {
    OrderLines::new([(sku("lamp"), some(2)), (sku("chair"), some(1))]).unwrap()
}

fn offer(name: &str) -> ProductOffer {
    ProductOffer::new(name.to_owned(), 4_900, "EUR".to_owned(), true).unwrap()
}

fn product(name: &str, event: product::ProductEvent) -> InventoryEvent {
    InventoryEvent::Product { sku: sku(name), event }
}

fn for_order(event: reservation::ReservationEvent) -> InventoryEvent {
    InventoryEvent::Reservation { order: ORDER, event }
}

fn reserve() -> InventoryCommand {
    InventoryCommand::Reservation {
        order: ORDER,
        command: reservation::ReservationCommand::Reserve { lines: lines() },
    }
}

fn commit() -> InventoryCommand {
    InventoryCommand::Reservation { order: ORDER, command: reservation::ReservationCommand::Commit }
}

fn release() -> InventoryCommand {
    InventoryCommand::Reservation {
        order: ORDER,
        command: reservation::ReservationCommand::Release,
    }
}

/// Ten lamps and five chairs, then the events of the order.
fn stocked_then(
    history: impl IntoIterator<Item = reservation::ReservationEvent>,
) -> Vec<InventoryEvent> {
    let mut all = vec![
        product("lamp", product::ProductEvent::Listed { offer: offer("Lamp") }),
        product("lamp", product::ProductEvent::Restocked { quantity: some(10) }),
        product("chair", product::ProductEvent::Listed { offer: offer("Chair") }),
        product("chair", product::ProductEvent::Restocked { quantity: some(5) }),
    ];
    all.extend(history.into_iter().map(for_order));
    all
}

fn reserved() -> reservation::ReservationEvent {
    reservation::ReservationEvent::Reserved { lines: lines() }
}

fn rejected() -> reservation::ReservationEvent {
    reservation::ReservationEvent::Rejected { missing: vec![] }
}

fn released() -> reservation::ReservationEvent {
    reservation::ReservationEvent::Released { lines: lines() }
}

/// (available, reserved, sold) of lamps after a history.
fn lamps_after(
    history: impl IntoIterator<Item = reservation::ReservationEvent>,
) -> (u64, u64, u64) {
    let stock = replay::<Inventory>(&stocked_then(history)).products[&sku("lamp")].stock;
    assert_eq!(stock.stocked(), 10);
    (stock.available(), stock.reserved(), stock.sold())
}

mod no_reservation {
    use super::*;

    #[test]
    fn reserve_holds_every_line_that_is_there() {
        given::<Inventory>(stocked_then([])).when(&reserve()).then([for_order(reserved())]);
        assert_eq!(lamps_after([reserved()]), (8, 2, 0));
    }

    #[test]
    fn reserve_holds_the_last_ones() {
        let last = OrderLines::new([(sku("lamp"), some(10))]).unwrap();
        let command = InventoryCommand::Reservation {
            order: ORDER,
            command: reservation::ReservationCommand::Reserve { lines: last.clone() },
        };
        given::<Inventory>(stocked_then([]))
            .when(&command)
            .then([for_order(reservation::ReservationEvent::Reserved { lines: last })]);
    }

    #[test]
    fn reserve_holds_nothing_if_one_line_is_short() {
        let history = [
            product("lamp", product::ProductEvent::Listed { offer: offer("Lamp") }),
            product("lamp", product::ProductEvent::Restocked { quantity: some(1) }),
            product("chair", product::ProductEvent::Listed { offer: offer("Chair") }),
            product("chair", product::ProductEvent::Restocked { quantity: some(5) }),
        ];
        let missing = vec![ShortLine { sku: sku("lamp"), requested: some(2), available: 1 }];
        given::<Inventory>(history)
            .when(&reserve())
            .then([for_order(reservation::ReservationEvent::Rejected { missing })]);
        assert_eq!(lamps_after([rejected()]), (10, 0, 0));
    }

    #[test]
    fn reserve_takes_an_unknown_product_for_none() {
        let missing = vec![
            ShortLine { sku: sku("chair"), requested: some(1), available: 0 },
            ShortLine { sku: sku("lamp"), requested: some(2), available: 0 },
        ];
        given::<Inventory>([])
            .when(&reserve())
            .then([for_order(reservation::ReservationEvent::Rejected { missing })]);
    }

    #[test]
    fn commit_is_a_contradiction() {
        given::<Inventory>(stocked_then([]))
            .when(&commit())
            .then_rejected(InventoryRejection::NeverReserved);
    }

    #[test]
    fn release_fences_it() {
        given::<Inventory>([])
            .when(&release())
            .then([for_order(reservation::ReservationEvent::Fenced)]);
    }
}

mod fenced {
    use super::*;

    fn fenced() -> Vec<InventoryEvent> {
        stocked_then([reservation::ReservationEvent::Fenced])
    }

    #[test]
    fn reserve_holds_nothing() {
        given::<Inventory>(fenced()).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_is_a_contradiction() {
        given::<Inventory>(fenced()).when(&commit()).then_rejected(InventoryRejection::WasFenced);
    }

    #[test]
    fn release_is_a_repeat() {
        given::<Inventory>(fenced()).when(&release()).then_nothing();
    }
}

mod reserved {
    use super::*;

    #[test]
    fn reserve_is_a_repeat() {
        given::<Inventory>(stocked_then([reserved()])).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_sells_what_is_held() {
        given::<Inventory>(stocked_then([reserved()]))
            .when(&commit())
            .then([for_order(reservation::ReservationEvent::Sold)]);
        assert_eq!(lamps_after([reserved(), reservation::ReservationEvent::Sold]), (8, 0, 2));
    }

    #[test]
    fn release_makes_it_available_again() {
        given::<Inventory>(stocked_then([reserved()]))
            .when(&release())
            .then([for_order(released())]);
        assert_eq!(lamps_after([reserved(), released()]), (10, 0, 0));
    }
}

mod sold {
    use super::*;

    fn sold() -> Vec<InventoryEvent> {
        stocked_then([reserved(), reservation::ReservationEvent::Sold])
    }

    #[test]
    fn reserve_is_a_repeat() {
        given::<Inventory>(sold()).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_is_a_repeat() {
        given::<Inventory>(sold()).when(&commit()).then_nothing();
    }

    #[test]
    fn release_makes_it_available_again() {
        given::<Inventory>(sold()).when(&release()).then([for_order(released())]);
        assert_eq!(
            lamps_after([reserved(), reservation::ReservationEvent::Sold, released()]),
            (10, 0, 0)
        );
    }
}

mod rejected {
    use super::*;

    #[test]
    fn reserve_stays_rejected_though_there_is_stock_by_now() {
        given::<Inventory>(stocked_then([rejected()])).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_is_a_contradiction() {
        given::<Inventory>(stocked_then([rejected()]))
            .when(&commit())
            .then_rejected(InventoryRejection::WasRejected);
    }

    #[test]
    fn release_has_nothing_to_let_go() {
        given::<Inventory>(stocked_then([rejected()])).when(&release()).then_nothing();
    }
}

mod released {
    use super::*;

    #[test]
    fn reserve_is_late() {
        given::<Inventory>(stocked_then([reserved(), released()])).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_is_late_for_the_cancellation_was_read_first() {
        given::<Inventory>(stocked_then([reserved(), released()])).when(&commit()).then_nothing();
    }

    #[test]
    fn release_is_a_repeat() {
        given::<Inventory>(stocked_then([reserved(), released()])).when(&release()).then_nothing();
    }
}

mod products {
    use super::*;

    fn put(name: &str) -> InventoryCommand {
        InventoryCommand::Product {
            sku: sku("lamp"),
            command: product::ProductCommand::Put { offer: offer(name) },
        }
    }

    fn restock(count: i32) -> InventoryCommand {
        InventoryCommand::Product {
            sku: sku("lamp"),
            command: product::ProductCommand::Restock { quantity: some(count) },
        }
    }

    fn listed() -> InventoryEvent {
        product("lamp", product::ProductEvent::Listed { offer: offer("Lamp") })
    }

    #[test]
    fn put_lists_a_new_one_without_stock() {
        given::<Inventory>([]).when(&put("Lamp")).then([listed()]);
        assert_eq!(
            replay::<Inventory>(&[listed()]).products[&sku("lamp")].stock,
            StockCount::default()
        );
    }

    #[test]
    fn put_changes_what_is_different() {
        given::<Inventory>([listed()])
            .when(&put("Floor lamp"))
            .then([product("lamp", product::ProductEvent::Changed { offer: offer("Floor lamp") })]);
    }

    #[test]
    fn put_of_the_same_is_a_repeat() {
        given::<Inventory>([listed()]).when(&put("Lamp")).then_nothing();
    }

    #[test]
    fn put_leaves_the_stock_alone() {
        let changed =
            product("lamp", product::ProductEvent::Changed { offer: offer("Floor lamp") });
        let mut history = stocked_then([reserved()]);
        history.push(changed);
        let lamp = replay::<Inventory>(&history).products[&sku("lamp")].clone();
        assert_eq!(Some(lamp.stock), StockCount::from_counts(8, 2, 0, 10));
    }

    fn introduce(quantity: Option<Quantity>) -> InventoryCommand {
        InventoryCommand::Product {
            sku: sku("lamp"),
            command: product::ProductCommand::Introduce { offer: offer("Lamp"), quantity },
        }
    }

    #[test]
    fn introduce_lists_a_new_one_with_its_first_stock() {
        let restocked = product("lamp", product::ProductEvent::Restocked { quantity: some(3) });
        given::<Inventory>([]).when(&introduce(Some(some(3)))).then([listed(), restocked]);
        given::<Inventory>([]).when(&introduce(None)).then([listed()]);
    }

    #[test]
    fn introduce_leaves_what_is_known_as_it_is() {
        let changed =
            product("lamp", product::ProductEvent::Changed { offer: offer("Floor lamp") });
        given::<Inventory>([listed(), changed]).when(&introduce(Some(some(3)))).then_nothing();
    }

    #[test]
    fn restock_adds_to_what_is_available() {
        given::<Inventory>([listed()])
            .when(&restock(3))
            .then([product("lamp", product::ProductEvent::Restocked { quantity: some(3) })]);
    }

    #[test]
    fn restock_of_what_nobody_listed_is_refused() {
        given::<Inventory>([]).when(&restock(3)).then_rejected(InventoryRejection::UnknownProduct);
    }

    #[test]
    fn restock_beyond_all_stock_is_refused() {
        let mut full = replay::<Inventory>(&[listed()]);
        let limit = StockCount::STOCKED_MAX;
        full.products.get_mut(&sku("lamp")).unwrap().stock =
            StockCount::default().restock(limit - 2);
        assert!(Inventory::decide(&full, &restock(2)).is_ok());
        assert_eq!(Inventory::decide(&full, &restock(3)), Err(InventoryRejection::StockLimit));
    }

    #[test]
    fn an_offer_is_checked_where_it_is_made() {
        use product::InvalidOffer as I;
        let make = |name: &str, price, currency: &str| {
            ProductOffer::new(name.to_owned(), price, currency.to_owned(), true).map(|_offer| ())
        };
        assert_eq!(make("Lamp", 0, "EUR"), Ok(()));
        assert_eq!(make("Lamp", ProductOffer::PRICE_MAX, "USD"), Ok(()));
        for name in ["", "  ", "bell\u{7}", &"x".repeat(201)] {
            assert_eq!(make(name, 1, "EUR"), Err(I::Name), "{name:?}");
        }
        for price in [-1, ProductOffer::PRICE_MAX + 1] {
            assert_eq!(make("Lamp", price, "EUR"), Err(I::Price), "{price}");
        }
        for currency in ["JPY", "KWD", "CLF"] {
            assert_eq!(make("Lamp", 1, currency), Ok(()), "{currency:?}");
        }
        for currency in ["", "eur", "EURO", "E1R", "XYZ", "XXX", "XTS", "XAU"] {
            assert_eq!(make("Lamp", 1, currency), Err(I::Currency), "{currency:?}");
        }
        let kept = |code: &str| ProductOffer::kept("Lamp".to_owned(), 1, code.to_owned(), true);
        assert!(kept("XYZ").is_ok(), "what was kept is read");
        assert_eq!(kept("euro"), Err(I::Currency));
    }
}

#[test]
fn only_what_is_reserved_or_sold_is_held() {
    let held = |reservation: Reservation| reservation.held().cloned();
    assert_eq!(held(Reservation::Reserved(lines())), Some(lines()));
    assert_eq!(held(Reservation::Sold(lines())), Some(lines()));
    let others = [Reservation::Fenced, Reservation::Rejected, Reservation::Released];
    assert_eq!(others.map(held), [None, None, None]);
}
