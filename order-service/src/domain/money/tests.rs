//! Amounts at their edges.

use proptest::prelude::*;

use super::*;

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

#[test]
fn a_quantity_is_between_one_and_ten_thousand() {
    for bad in [i64::MIN, -1, 0, 10_001, 65_537, 1 << 31, i64::MAX] {
        assert_eq!(Quantity::new(bad), Err(BadQuantity), "{bad}");
    }
    assert_eq!(Quantity::new(1).unwrap().get(), 1);
    assert_eq!(Quantity::new(10_000).unwrap().get(), 10_000);
}

#[test]
fn a_currency_is_three_capital_letters() {
    for bad in ["", "EU", "EURO", "eur", "E1R", "ÄÖ", "EU\0", "EUR "] {
        assert_eq!(Currency::parse(bad), Err(BadCurrency), "{bad:?}");
    }
    assert_eq!(eur().to_string(), "EUR");
}

#[test]
fn an_order_is_placed_in_a_currency_of_iso_4217_that_has_a_minor_unit() {
    for good in ["EUR", "JPY", "KWD", "CLF"] {
        assert_eq!(Currency::of_new_order(good).unwrap().to_string(), good);
    }
    for unknown in ["XYZ", "XXX", "XTS", "XAU"] {
        assert_eq!(Currency::of_new_order(unknown), Err(BadOrderCurrency::Unknown), "{unknown}");
        assert_eq!(Currency::parse(unknown).unwrap().to_string(), unknown, "what was kept is read");
    }
    let malformed = Err(BadOrderCurrency::Malformed(BadCurrency));
    assert_eq!(Currency::of_new_order("eur"), malformed);
}

#[test]
fn an_amount_that_json_would_round_is_refused() {
    assert_eq!(Money::new(Money::MINOR_MAX + 1, eur()), Err(BadAmount));
    assert_eq!(Money::new(-1, eur()), Err(BadAmount));
}

#[test]
fn two_currencies_are_never_added() {
    let usd = Currency::parse("USD").unwrap();
    let (here, there) = (Money::new(1, eur()).unwrap(), Money::new(1, usd).unwrap());
    assert_eq!(here.plus(there), None);
}

proptest! {
    #[test]
    fn arithmetic_is_right_or_refused(a in 0..=Money::MINOR_MAX, b in 0..=Money::MINOR_MAX, n in 1i64..=10_000) {
        let (here, there) = (Money::new(a, eur()).unwrap(), Money::new(b, eur()).unwrap());
        let fits = |n: i128| i64::try_from(n).ok().filter(|n| *n <= Money::MINOR_MAX);
        let sum = here.plus(there).map(Money::minor);
        prop_assert_eq!(sum, fits(i128::from(a) + i128::from(b)));
        let product = here.times(Quantity::new(n).unwrap()).map(Money::minor);
        prop_assert_eq!(product, fits(i128::from(a) * i128::from(n)));
    }
}
