//! Currencies of ISO 4217: the codes that a price may have, and the place of the decimal point.
//!
//! Records hold amounts in whole minor units with the code. The number of minor units per major
//! unit is in ISO 4217, which changes about once a year: the table is that of the crate
//! `iso_currency`. A table of our own would be wrong from the standard's first amendment on.
//!
//! **Architecture invariant:** the table is asked where a price enters and where an amount is shown
//! to people, and nowhere between. A stored or published amount stays readable when the table loses
//! its code: there only the shape of the code is checked ([`is_code`]).

use iso_currency::Currency;

/// Whether the text has the shape of a code: three capital letters, known to ISO 4217 or not.
pub fn is_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|n| n.is_ascii_uppercase())
}

/// Digits after the decimal point: 2 for `EUR`, 0 for `JPY`, 3 for `KWD`, 4 for `CLF`. None for a
/// code without prices: one unknown to ISO 4217, and one that is no money and has no minor unit
/// (`XXX` no currency, `XTS` tests, `XAU` gold, `XDR`, …).
pub fn minor_digits(code: &str) -> Option<u32> {
    let currency = Currency::from_code(code)?;
    if currency.is_special() {
        return None;
    }
    currency.exponent().map(u32::from)
}

/// An amount as people write it: `12.50 EUR`, `1250 JPY`, `1.250 KWD`. With no known decimals
/// it is `1250 minor units of XYZ`: unusual, and not wrong by a factor of a hundred.
pub fn amount(minor: i64, code: &str) -> String {
    let Some(digits) = minor_digits(code) else {
        return format!("{minor} minor units of {code}");
    };
    let (sign, minor) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
    let unit = 10_u64.saturating_pow(digits);
    let (whole, rest, width) = (minor / unit, minor % unit, digits as usize);
    if digits == 0 {
        return format!("{sign}{whole} {code}");
    }
    format!("{sign}{whole}.{rest:0width$} {code}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_has_the_decimals_that_iso_4217_gives_its_currency() {
        for (minor, code, expected) in [
            (0, "EUR", "0.00 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-1_205, "USD", "-12.05 USD"),
            (1_250, "JPY", "1250 JPY"),
            (1_250, "KRW", "1250 KRW"),
            (1_250, "ISK", "1250 ISK"),
            (1_250, "UYI", "1250 UYI"),
            (1_250, "KWD", "1.250 KWD"),
            (1_250, "IQD", "1.250 IQD"),
            (1_250, "CLF", "0.1250 CLF"),
            (1_250, "UYW", "0.1250 UYW"),
            (1_250, "CLP", "1250 CLP"),
            (1_250, "MGA", "12.50 MGA"),
            (1_250, "MRU", "12.50 MRU"),
            (1_250, "HUF", "12.50 HUF"),
            (1_250, "SLE", "12.50 SLE"),
            (i64::MAX, "EUR", "92233720368547758.07 EUR"),
            (i64::MIN, "JPY", "-9223372036854775808 JPY"),
        ] {
            assert_eq!(amount(minor, code), expected);
        }
    }

    #[test]
    fn nothing_is_priced_in_what_is_no_money() {
        for code in [
            "XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XBA", "XBB", "XBC", "XBD", "XSU",
            "XUA", "XAD", "XYZ", "AAA", "", "EU", "EURO", "eur", "Eur", "EUR ", "978", "€",
        ] {
            assert_eq!(minor_digits(code), None, "{code:?}");
        }
    }

    #[test]
    fn an_amount_without_a_known_decimal_point_is_shown_in_minor_units() {
        assert_eq!(amount(1_250, "XYZ"), "1250 minor units of XYZ");
        assert_eq!(amount(-5, "XXX"), "-5 minor units of XXX");
    }

    #[test]
    fn codes_that_the_table_may_lose_keep_their_shape() {
        for code in ["HRK", "BGN", "DEM", "XYZ"] {
            assert!(is_code(code));
        }
        for text in ["", "EU", "eur", "EU\n", "EURO", "ÄÖ"] {
            assert!(!is_code(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_amount_makes_the_writer_panic(minor: i64, code in "[A-Z]{3}") {
            let text = amount(minor, &code);
            prop_assert!(text.ends_with(&code));
        }
    }
}
