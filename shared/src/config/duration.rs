//! Durations as people write them: `500ms`, `30s`, `5m`, `24h`, `1h 30m`, `2days`.

use std::{ops::RangeInclusive, time::Duration};

use super::InvalidSetting;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration as in 500ms, 30s or 1h 30m: {0}")]
pub struct BadDuration(String);

/// Reads numbers with their units.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    humantime::parse_duration(text).map_err(|error| BadDuration(error.to_string()))
}

/// Checks that a duration is between two others.
pub fn duration_within(
    name: &'static str,
    value: Duration,
    limits: RangeInclusive<Duration>,
) -> Result<(), InvalidSetting> {
    if limits.contains(&value) {
        return Ok(());
    }
    let [value, least, most] =
        [value, *limits.start(), *limits.end()].map(humantime::format_duration);
    Err(InvalidSetting::new(name, format!("{value} is not between {least} and {most}")))
}
