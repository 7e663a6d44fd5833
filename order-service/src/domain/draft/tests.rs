//! Refusals before an order exists, and the calculation of its total.

use std::collections::HashMap;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const DUE: OffsetDateTime = datetime!(2026-01-02 03:09:05 UTC);

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

fn wish(text: &str, quantity: i64) -> DraftLine {
    DraftLine { sku: sku(text), quantity: Quantity::new(quantity).unwrap() }
}

fn draft(wishes: Vec<DraftLine>) -> Result<OrderDraft, Vec<DraftFault>> {
    let email = EmailAddress::parse("a@b.example").unwrap();
    let method = PaymentMethod::parse("tok_visa").unwrap();
    OrderDraft::new(wishes, currency("EUR"), method, Customer { email, name: None })
}

fn offers(of: &[(&str, i64, &str, bool)]) -> HashMap<Sku, ProductOffer> {
    of.iter()
        .map(|&(text, minor, cur, active)| {
            (sku(text), ProductOffer { price: Money::new(minor, currency(cur)).unwrap(), active })
        })
        .collect()
}

#[test]
fn the_total_is_the_sum_of_all_lines() {
    let offers = offers(&[("tea", 250, "EUR", true), ("cup", 1_000, "EUR", true)]);
    let draft = draft(vec![wish("tea", 3), wish("cup", 2)]).unwrap();
    let placement = draft.price(&offers, NOW, DUE).unwrap();
    assert_eq!(placement.total.to_string(), "2750 minor units of EUR");
    assert_eq!(placement.lines.len(), 2);
    assert_eq!(placement.due_at, DUE);
}

#[test]
fn an_order_has_one_to_a_hundred_lines() {
    let many = |n: usize| (0..n).map(|i| wish(&format!("sku-{i}"), 1)).collect::<Vec<_>>();
    for bad in [0, 101, 10_001] {
        assert_eq!(draft(many(bad)), Err(vec![DraftFault::LineCount]), "{bad}");
    }
    assert!(draft(many(100)).is_ok());
}

#[test]
fn the_same_sku_twice_is_refused_at_the_later_line() {
    let wishes = vec![wish("tea", 1), wish("cup", 1), wish("tea", 2)];
    assert_eq!(draft(wishes), Err(vec![DraftFault::SkuTwice { line: 2 }]));
}

#[test]
fn everything_wrong_with_the_products_is_said_at_once() {
    let offers = offers(&[("old", 1, "EUR", false), ("usd", 1, "USD", true)]);
    let draft = draft(vec![wish("none", 1), wish("old", 1), wish("usd", 1)]).unwrap();
    let usd = DraftFault::OtherCurrency { line: 2, sold_for: currency("USD") };
    let expected = vec![DraftFault::UnknownSku { line: 0 }, DraftFault::Inactive { line: 1 }, usd];
    assert_eq!(draft.price(&offers, NOW, DUE), Err(expected));
}

#[test]
fn a_total_that_does_not_fit_is_refused() {
    let offers = offers(&[("gold", Money::MINOR_MAX, "EUR", true), ("tea", 1, "EUR", true)]);
    for wishes in [vec![wish("gold", 2)], vec![wish("gold", 1), wish("tea", 1)]] {
        let draft = draft(wishes).unwrap();
        assert_eq!(draft.price(&offers, NOW, DUE), Err(vec![DraftFault::TotalTooLarge]));
    }
}

#[test]
fn a_total_above_the_limit_is_refused() {
    let offers = offers(&[("tea", 50, "EUR", true)]);
    let placement = draft(vec![wish("tea", 2)]).unwrap().price(&offers, NOW, DUE).unwrap();
    assert_eq!(placement.clone().at_most(100), Ok(placement.clone()));
    assert_eq!(placement.at_most(99), Err(vec![DraftFault::TotalAboveLimit { max: 99 }]));
}

proptest! {
    #[test]
    fn a_total_is_exact(lines in prop::collection::vec((0i64..1_000_000_000, 1i64..=10_000), 1..20)) {
        let name = |n: usize| format!("sku-{n}");
        let names: Vec<_> = (0..lines.len()).map(name).collect();
        let offers = names
            .iter()
            .zip(&lines)
            .map(|(text, (price, _))| (text.as_str(), *price, "EUR", true))
            .collect::<Vec<_>>();
        let wishes = names.iter().zip(&lines).map(|(text, (_, n))| wish(text, *n)).collect();
        let total: i128 = lines.iter().map(|(price, n)| i128::from(*price) * i128::from(*n)).sum();
        let placement = draft(wishes).unwrap().price(&tests::offers(&offers), NOW, DUE);
        prop_assert_eq!(placement.map(|order| i128::from(order.total.minor())), Ok(total));
    }
}
