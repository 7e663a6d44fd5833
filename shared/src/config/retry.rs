//! A retry policy as one setting: `first=500ms,factor=2,cap=30s,attempts=10`.

use std::{str::FromStr, time::Duration};

use super::parse_duration;
use crate::backoff::BackoffSchedule;

/// Waits and attempts. Each wait is chosen at random between nothing and its ceiling; the ceilings
/// are `first`, `first × factor`, … up to `cap`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// The waits between attempts, built from the settings.
    pub backoff: BackoffSchedule,
    /// Attempts in all; none is without limit.
    pub attempts_max: Option<u32>,
}

/// A text that does not say how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRetry {
    /// A part is missing.
    #[error("{0} is missing; all of first, factor, cap and attempts are wanted")]
    Missing(&'static str),
    /// A part is none of those that are known, or stands there twice.
    #[error("'{0}' is not one of first=, factor=, cap= and attempts=, each once")]
    Unknown(String),
    /// A part has a value that it cannot have.
    #[error("{0} cannot be '{1}': {2}")]
    Value(&'static str, String, &'static str),
}

impl FromStr for RetrySettings {
    type Err = BadRetry;

    fn from_str(text: &str) -> Result<Self, BadRetry> {
        let mut parts = [("first", None), ("factor", None), ("cap", None), ("attempts", None)];
        for part in text.split(',') {
            let unknown = || BadRetry::Unknown(part.to_owned());
            let (name, value) = part.trim().split_once('=').ok_or_else(unknown)?;
            let place = parts.iter_mut().find(|(known, value)| *known == name && value.is_none());
            place.ok_or_else(unknown)?.1 = Some(value);
        }
        let [first, factor, cap, attempts] =
            parts.map(|(name, value)| value.ok_or(BadRetry::Missing(name)));
        let (first, cap) = (duration("first", first?)?, duration("cap", cap?)?);
        if first > cap {
            return Err(BadRetry::Value("first", text.to_owned(), "it is longer than cap"));
        }
        let backoff = BackoffSchedule { first, factor: number(factor?)?, cap };
        Ok(Self { backoff, attempts_max: limit(attempts?)? })
    }
}

fn duration(name: &'static str, text: &str) -> Result<Duration, BadRetry> {
    parse_duration(text)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| BadRetry::Value(name, text.to_owned(), "as in 500ms or 30s, above nothing"))
}

fn number(text: &str) -> Result<f64, BadRetry> {
    text.parse()
        .ok()
        .filter(|n| (1.0..=10.0).contains(n))
        .ok_or_else(|| BadRetry::Value("factor", text.to_owned(), "from 1 to 10"))
}

fn limit(text: &str) -> Result<Option<u32>, BadRetry> {
    if text == "unlimited" {
        return Ok(None);
    }
    let known = text.parse().ok().filter(|attempts| (1..=1_000).contains(attempts));
    let refused = || BadRetry::Value("attempts", text.to_owned(), "from 1 to 1000, or unlimited");
    known.map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<RetrySettings>().unwrap_err().to_string()
    }

    #[test]
    fn waits_and_attempts_are_read_in_any_succession() {
        let backoff = BackoffSchedule {
            first: Duration::from_millis(500),
            factor: 2.0,
            cap: Duration::from_secs(30),
        };
        for (text, attempts_max) in [
            ("first=500ms,factor=2,cap=30s,attempts=10", Some(10)),
            ("attempts=unlimited, cap=30s, factor=2.0, first=500ms", None),
        ] {
            assert_eq!(text.parse(), Ok(RetrySettings { backoff, attempts_max }));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("first=1s,factor=2,cap=1m", "attempts is missing"),
            ("first=1s,first=2s", "'first=2s' is not one of"),
            ("second=1s", "'second=1s' is not one of"),
            ("first=2m,factor=2,cap=1m,attempts=3", "it is longer than cap"),
            ("first=0s,factor=2,cap=1m,attempts=3", "first cannot be '0s'"),
            ("first=1s,factor=0.5,cap=1m,attempts=3", "factor cannot be '0.5'"),
            ("first=1s,factor=2,cap=1m,attempts=0", "attempts cannot be '0'"),
        ] {
            assert!(complaint(text).contains(said), "{text}: {}", complaint(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            drop(text.parse::<RetrySettings>());
        }
    }
}
