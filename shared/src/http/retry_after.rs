//! Reads the header `Retry-After` of other servers: seconds, or a date.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};
use time::OffsetDateTime;

/// How long to wait according to an answer. A date counts from the answer's own `Date`, if it has
/// one: the sender's clock may differ from this machine's. A date in the past is no wait.
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number can have are as good as for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(header::DATE).and_then(|value| value.to_str().ok());
    let sent = date.and_then(|text| httpdate::parse_http_date(text).ok());
    let sent = sent.unwrap_or_else(|| SystemTime::from(now));
    Some(until.duration_since(sent).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn read(text: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, text.parse().ok()?);
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().ok()?);
        }
        retry_after(&headers, NOW).map(|duration| duration.as_secs())
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date_of_any_form() {
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Fri, 02 Jan 2026 03:05:35 GMT", Some(90)),
            ("Friday, 02-Jan-26 03:05:35 GMT", Some(90)),
            ("Fri Jan  2 03:05:35 2026", Some(90)),
            ("Fri, 02 Jan 2026 03:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(read(text, None), seconds, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), NOW), None);
    }

    #[test]
    fn a_date_counts_from_the_date_of_its_answer() {
        let until = "Fri, 02 Jan 2026 03:05:35 GMT";
        assert_eq!(read(until, Some("Fri, 02 Jan 2026 03:05:05 GMT")), Some(30));
        assert_eq!(read(until, Some("yesterday")), Some(90));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, date: String) {
            read(&text, Some(&date));
        }
    }
}
