use contract::OrderLine;
use time::{OffsetDateTime, macros::datetime};

use super::*;

const AT: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const ORDER: Uuid = Uuid::from_u128(7);

fn placed(lines: &[(&str, i32)]) -> OrderPlaced {
    let lines = lines.iter().map(|(sku, quantity)| OrderLine {
        sku: (*sku).to_owned(),
        quantity: *quantity,
        unit_price_minor: 100,
    });
    OrderPlaced {
        order_id: ORDER,
        lines: lines.collect(),
        total_minor: 100,
        currency: "EUR".to_owned(),
        payment_method: "tok".to_owned(),
        email: "ada@example.com".to_owned(),
        customer_name: None,
        placed_at: AT,
        due_at: AT,
    }
}

fn lines(lines: &[(&str, i32)]) -> OrderLines {
    let line =
        |(sku, count): &(&str, i32)| (Sku::parse(sku).unwrap(), Quantity::new(*count).unwrap());
    OrderLines::new(lines.iter().map(line)).unwrap()
}

#[test]
fn an_order_that_was_placed_asks_for_its_lines() {
    let wanted = ReservationCommand::Reserve { lines: lines(&[("chair", 1), ("lamp", 2)]) };
    assert_eq!(reserve(&placed(&[("lamp", 2), ("chair", 1)])), Ok(wanted));
}

#[test]
fn lines_that_nothing_can_be_held_for_are_invalid() {
    let reserve = |lines: &[(&str, i32)]| reserve(&placed(lines));
    assert_eq!(reserve(&[]), Err(InvalidRecord::Lines(InvalidLines::Empty)));
    assert_eq!(reserve(&[("a", 1), ("a", 2)]), Err(InvalidRecord::Lines(InvalidLines::Repeated)));
    assert_eq!(reserve(&[("a b", 1)]), Err(InvalidRecord::Sku("a b".to_owned())));
    assert_eq!(
        reserve(&[("a", 0)]),
        Err(InvalidRecord::Quantity { sku: "a".to_owned(), quantity: 0 })
    );
}

#[test]
fn what_is_held_is_said_line_by_line() {
    let held = StockLine { sku: "lamp".to_owned(), quantity: 2 };
    assert_eq!(stock_lines(&lines(&[("lamp", 2)])), [held]);
}
