//! Durations as people write them: `500ms`, `30s`, `5m`, `24h`.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: a number and one of ms, s, m, h is wanted, as in 500ms or 30s")]
pub struct BadDuration;

/// Reads a whole number with its unit.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_unread| BadDuration)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(BadDuration),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or(BadDuration)
}
