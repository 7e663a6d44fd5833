use shared::decider::{Decider as _, given, replay};
use uuid::Uuid;

use super::{
    super::{
        naming::{Lines, OrderId, Quantity, Sku},
        product::{self, Offer},
        reservation::{self, Missing, Reservation},
        stock::Stock,
    },
    Command, Event, Inventory, Rejection,
};

mod table;

const ORDER: OrderId = OrderId(Uuid::from_u128(1));

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn some(count: i32) -> Quantity {
    Quantity::new(count).unwrap()
}

/// Two lamps and a chair.
fn lines() -> Lines {
    Lines::new([(sku("lamp"), some(2)), (sku("chair"), some(1))]).unwrap()
}

fn offer(name: &str) -> Offer {
    Offer::new(name.to_owned(), 4_900, "EUR".to_owned(), true).unwrap()
}

fn product(name: &str, event: product::Event) -> Event {
    Event::Product { sku: sku(name), event }
}

fn for_order(event: reservation::Event) -> Event {
    Event::Reservation { order: ORDER, event }
}

fn reserve() -> Command {
    Command::Reservation { order: ORDER, command: reservation::Command::Reserve { lines: lines() } }
}

fn commit() -> Command {
    Command::Reservation { order: ORDER, command: reservation::Command::Commit }
}

fn release() -> Command {
    Command::Reservation { order: ORDER, command: reservation::Command::Release }
}

/// Ten lamps and five chairs, then what happened for the order.
fn stocked_then(history: impl IntoIterator<Item = reservation::Event>) -> Vec<Event> {
    let mut all = vec![
        product("lamp", product::Event::Listed { offer: offer("Lamp") }),
        product("lamp", product::Event::Restocked { quantity: some(10) }),
        product("chair", product::Event::Listed { offer: offer("Chair") }),
        product("chair", product::Event::Restocked { quantity: some(5) }),
    ];
    all.extend(history.into_iter().map(for_order));
    all
}

fn reserved() -> reservation::Event {
    reservation::Event::Reserved { lines: lines() }
}

fn rejected() -> reservation::Event {
    reservation::Event::Rejected { missing: vec![] }
}

fn released() -> reservation::Event {
    reservation::Event::Released { lines: lines() }
}

/// (available, reserved, sold) of lamps after a history.
fn lamps_after(history: impl IntoIterator<Item = reservation::Event>) -> (u64, u64, u64) {
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
        let last = Lines::new([(sku("lamp"), some(10))]).unwrap();
        let command = Command::Reservation {
            order: ORDER,
            command: reservation::Command::Reserve { lines: last.clone() },
        };
        given::<Inventory>(stocked_then([]))
            .when(&command)
            .then([for_order(reservation::Event::Reserved { lines: last })]);
    }

    #[test]
    fn reserve_holds_nothing_if_one_line_is_short() {
        let history = [
            product("lamp", product::Event::Listed { offer: offer("Lamp") }),
            product("lamp", product::Event::Restocked { quantity: some(1) }),
            product("chair", product::Event::Listed { offer: offer("Chair") }),
            product("chair", product::Event::Restocked { quantity: some(5) }),
        ];
        let missing = vec![Missing { sku: sku("lamp"), requested: some(2), available: 1 }];
        given::<Inventory>(history)
            .when(&reserve())
            .then([for_order(reservation::Event::Rejected { missing })]);
        assert_eq!(lamps_after([rejected()]), (10, 0, 0));
    }

    #[test]
    fn reserve_takes_an_unknown_product_for_none() {
        let missing = vec![
            Missing { sku: sku("chair"), requested: some(1), available: 0 },
            Missing { sku: sku("lamp"), requested: some(2), available: 0 },
        ];
        given::<Inventory>([])
            .when(&reserve())
            .then([for_order(reservation::Event::Rejected { missing })]);
    }

    #[test]
    fn commit_is_a_contradiction() {
        given::<Inventory>(stocked_then([]))
            .when(&commit())
            .then_rejected(Rejection::NeverReserved);
    }

    #[test]
    fn release_fences_it() {
        given::<Inventory>([]).when(&release()).then([for_order(reservation::Event::Fenced)]);
    }
}

mod fenced {
    use super::*;

    fn fenced() -> Vec<Event> {
        stocked_then([reservation::Event::Fenced])
    }

    #[test]
    fn reserve_holds_nothing() {
        given::<Inventory>(fenced()).when(&reserve()).then_nothing();
    }

    #[test]
    fn commit_is_a_contradiction() {
        given::<Inventory>(fenced()).when(&commit()).then_rejected(Rejection::WasFenced);
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
            .then([for_order(reservation::Event::Sold)]);
        assert_eq!(lamps_after([reserved(), reservation::Event::Sold]), (8, 0, 2));
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

    fn sold() -> Vec<Event> {
        stocked_then([reserved(), reservation::Event::Sold])
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
        assert_eq!(lamps_after([reserved(), reservation::Event::Sold, released()]), (10, 0, 0));
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
            .then_rejected(Rejection::WasRejected);
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

    fn put(name: &str) -> Command {
        Command::Product { sku: sku("lamp"), command: product::Command::Put { offer: offer(name) } }
    }

    fn restock(count: i32) -> Command {
        Command::Product {
            sku: sku("lamp"),
            command: product::Command::Restock { quantity: some(count) },
        }
    }

    fn listed() -> Event {
        product("lamp", product::Event::Listed { offer: offer("Lamp") })
    }

    #[test]
    fn put_lists_a_new_one_without_stock() {
        given::<Inventory>([]).when(&put("Lamp")).then([listed()]);
        assert_eq!(replay::<Inventory>(&[listed()]).products[&sku("lamp")].stock, Stock::default());
    }

    #[test]
    fn put_changes_what_is_different() {
        given::<Inventory>([listed()])
            .when(&put("Floor lamp"))
            .then([product("lamp", product::Event::Changed { offer: offer("Floor lamp") })]);
    }

    #[test]
    fn put_of_the_same_is_a_repeat() {
        given::<Inventory>([listed()]).when(&put("Lamp")).then_nothing();
    }

    #[test]
    fn put_leaves_the_stock_alone() {
        let changed = product("lamp", product::Event::Changed { offer: offer("Floor lamp") });
        let mut history = stocked_then([reserved()]);
        history.push(changed);
        let lamp = replay::<Inventory>(&history).products[&sku("lamp")].clone();
        assert_eq!(Some(lamp.stock), Stock::from_counts(8, 2, 0, 10));
    }

    fn introduce(quantity: Option<Quantity>) -> Command {
        Command::Product {
            sku: sku("lamp"),
            command: product::Command::Introduce { offer: offer("Lamp"), quantity },
        }
    }

    #[test]
    fn introduce_lists_a_new_one_with_its_first_stock() {
        let restocked = product("lamp", product::Event::Restocked { quantity: some(3) });
        given::<Inventory>([]).when(&introduce(Some(some(3)))).then([listed(), restocked]);
        given::<Inventory>([]).when(&introduce(None)).then([listed()]);
    }

    #[test]
    fn introduce_leaves_what_is_known_as_it_is() {
        let changed = product("lamp", product::Event::Changed { offer: offer("Floor lamp") });
        given::<Inventory>([listed(), changed]).when(&introduce(Some(some(3)))).then_nothing();
    }

    #[test]
    fn restock_adds_to_what_is_available() {
        given::<Inventory>([listed()])
            .when(&restock(3))
            .then([product("lamp", product::Event::Restocked { quantity: some(3) })]);
    }

    #[test]
    fn restock_of_what_nobody_listed_is_refused() {
        given::<Inventory>([]).when(&restock(3)).then_rejected(Rejection::UnknownProduct);
    }

    #[test]
    fn restock_beyond_all_stock_is_refused() {
        let mut full = replay::<Inventory>(&[listed()]);
        let limit = Stock::STOCKED_MAX;
        full.products.get_mut(&sku("lamp")).unwrap().stock = Stock::default().restock(limit - 2);
        assert!(Inventory::decide(&full, &restock(2)).is_ok());
        assert_eq!(Inventory::decide(&full, &restock(3)), Err(Rejection::StockLimit));
    }

    #[test]
    fn an_offer_is_checked_where_it_is_made() {
        use product::InvalidOffer as I;
        let make = |name: &str, price, currency: &str| {
            Offer::new(name.to_owned(), price, currency.to_owned(), true).map(|_offer| ())
        };
        assert_eq!(make("Lamp", 0, "EUR"), Ok(()));
        assert_eq!(make("Lamp", Offer::PRICE_MAX, "USD"), Ok(()));
        for name in ["", "  ", "bell\u{7}", &"x".repeat(201)] {
            assert_eq!(make(name, 1, "EUR"), Err(I::Name), "{name:?}");
        }
        for price in [-1, Offer::PRICE_MAX + 1] {
            assert_eq!(make("Lamp", price, "EUR"), Err(I::Price), "{price}");
        }
        for currency in ["JPY", "KWD", "CLF"] {
            assert_eq!(make("Lamp", 1, currency), Ok(()), "{currency:?}");
        }
        for currency in ["", "eur", "EURO", "E1R", "XYZ", "XXX", "XTS", "XAU"] {
            assert_eq!(make("Lamp", 1, currency), Err(I::Currency), "{currency:?}");
        }
        let kept = |it: &str| Offer::kept("Lamp".to_owned(), 1, it.to_owned(), true);
        assert!(kept("XYZ").is_ok(), "what was kept is read");
        assert_eq!(kept("euro"), Err(I::Currency));
    }
}

#[test]
fn only_what_is_reserved_or_sold_is_held() {
    let held = |it: Reservation| it.held().cloned();
    assert_eq!(held(Reservation::Reserved(lines())), Some(lines()));
    assert_eq!(held(Reservation::Sold(lines())), Some(lines()));
    for nothing in [Reservation::Fenced, Reservation::Rejected, Reservation::Released] {
        assert_eq!(held(nothing), None);
    }
}
