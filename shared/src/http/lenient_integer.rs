//! Whole numbers in JSON: `2.0` is accepted like `2`.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// Up to here, every whole number has a floating point number of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

pub(super) const TOO_LARGE: &str = "is too large or too small a number";

/// Reads a whole number, however it is written: for `#[serde(deserialize_with = "whole")]`.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(LenientInteger)
}

struct LenientInteger;

impl Visitor<'_> for LenientInteger {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_large| E::custom(TOO_LARGE))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() != 0.0 {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        if number.abs() > EXACT_MAX {
            return Err(E::custom(TOO_LARGE));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        Ok(number as i64)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Some {
        #[serde(deserialize_with = "whole")]
        n: i64,
    }

    fn read(text: &str) -> Option<i64> {
        serde_json::from_str::<Some>(&format!("{{\"n\":{text}}}")).ok().map(|object| object.n)
    }

    #[test]
    fn a_whole_number_may_be_written_in_any_way() {
        for (text, number) in
            [("2", 2), ("2.0", 2), ("-3", -3), ("1e3", 1_000), ("9007199254740991", (1 << 53) - 1)]
        {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["1.5", "1e300", "18446744073709551615", "\"2\"", "null", "true", "[2]"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
