//! What is particular about an event, by name: each fact has a field of its own.

use serde::{Deserialize, Serialize};

/// Longer texts are cut: they are for people, and a batch has to stay small.
const TEXT_CHARS_MAX: usize = 400;

/// Short lines of an order that are kept, at most.
const MISSING_MAX: usize = 20;

/// What is particular about an event; empty, if nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFacts {
    /// Why: a cancellation, a failed payment, a notification that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The gateway's code for a decline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    /// The gateway's name for the charge or the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_reference: Option<String>,
    /// The kind of the notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<String>,
    /// How the customer was notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The lines that were short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<ShortLine>,
}

/// A line that was short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortLine {
    pub sku: String,
    pub requested: i32,
    pub available: i32,
}

impl EventFacts {
    /// Facts of an event that has a reason only.
    pub fn reason(text: &str) -> Self {
        Self { reason: Some(text.to_owned()), ..Self::default() }
    }

    /// The gateway's name for it.
    pub fn gateway_reference(text: &str) -> Self {
        Self { gateway_reference: Some(text.to_owned()), ..Self::default() }
    }

    /// A notification of this kind by this channel.
    pub fn notification(kind: &str, channel: &str) -> Self {
        Self {
            notification: Some(kind.to_owned()),
            channel: Some(channel.to_owned()),
            ..Self::default()
        }
    }

    /// As it is stored: short, and without characters that Postgres or a terminal does not take.
    /// None, if nothing is particular.
    pub(super) fn stored(&self) -> Option<Self> {
        let text = |text: &Option<String>| text.as_deref().map(printable);
        let stored = Self {
            reason: text(&self.reason),
            decline_code: text(&self.decline_code),
            gateway_reference: text(&self.gateway_reference),
            notification: text(&self.notification),
            channel: text(&self.channel),
            missing: self.missing.iter().take(MISSING_MAX).cloned().collect(),
        };
        (stored != Self::default()).then_some(stored)
    }

    /// From the text in which an earlier version wrote what is particular about an event of this
    /// kind. A part that was cut off there is missing here.
    pub(crate) fn of_earlier(what: &str, text: &str) -> Self {
        match what {
            contract::PAYMENT_DONE | contract::PAYMENT_REFUNDED => Self::gateway_reference(text),
            contract::PAYMENT_FAILED => match text.split_once(": ") {
                Some((reason, code)) => {
                    Self { decline_code: Some(code.to_owned()), ..Self::reason(reason) }
                }
                None => Self::reason(text),
            },
            contract::NOTIFICATION_SENT | contract::NOTIFICATION_FAILED => {
                let (notice, reason) = match text.split_once(": ") {
                    Some((notice, reason)) => (notice, Some(reason.to_owned())),
                    None => (text, None),
                };
                let (kind, channel) = notice.split_once(" by ").unwrap_or((notice, ""));
                Self { reason, ..Self::notification(kind, channel) }
            }
            contract::STOCK_REJECTED => {
                let missing = text.split("; ").filter_map(ShortLine::of_earlier).collect();
                Self { missing, ..Self::default() }
            }
            _ => Self::reason(text),
        }
    }
}

impl ShortLine {
    /// From `tea: 2 wanted, 1 there`.
    fn of_earlier(text: &str) -> Option<Self> {
        let (sku, counts) = text.split_once(": ")?;
        let (requested, available) = counts.split_once(" wanted, ")?;
        let available = available.strip_suffix(" there")?.parse().ok()?;
        Some(Self { sku: sku.to_owned(), requested: requested.parse().ok()?, available })
    }
}

/// A text of another service without control characters: Postgres cannot store NUL.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(TEXT_CHARS_MAX)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_is_read_into_the_same_names() {
        let short = |sku: &str, requested, available| ShortLine {
            sku: sku.to_owned(),
            requested,
            available,
        };
        for (what, text, facts) in [
            ("order-cancelled", "out-of-stock", EventFacts::reason("out-of-stock")),
            ("payment-done", "ch_1", EventFacts::gateway_reference("ch_1")),
            ("payment-refunded", "re_1", EventFacts::gateway_reference("re_1")),
            ("payment-failed", "unavailable", EventFacts::reason("unavailable")),
            (
                "payment-failed",
                "declined: insufficient_funds",
                EventFacts {
                    decline_code: Some("insufficient_funds".to_owned()),
                    ..EventFacts::reason("declined")
                },
            ),
            (
                "notification-sent",
                "confirmed by email",
                EventFacts::notification("confirmed", "email"),
            ),
            (
                "notification-failed",
                "refunded by email: 550: no such mailbox",
                EventFacts {
                    reason: Some("550: no such mailbox".to_owned()),
                    ..EventFacts::notification("refunded", "email")
                },
            ),
            (
                "stock-rejected",
                "tea: 2 wanted, 1 there; mug.blue: 10 wanted, 0 there; cut-o",
                EventFacts {
                    missing: vec![short("tea", 2, 1), short("mug.blue", 10, 0)],
                    ..EventFacts::default()
                },
            ),
        ] {
            assert_eq!(EventFacts::of_earlier(what, text), facts, "{what}: {text}");
        }
    }

    #[test]
    fn what_is_stored_is_short_and_printable() {
        let facts = EventFacts::reason(&format!("a\0b\u{1b}{}", "x".repeat(1_000)));
        let stored = facts.stored().unwrap().reason.unwrap();
        assert_eq!(stored.len(), TEXT_CHARS_MAX);
        assert!(stored.starts_with("a b x"), "{stored:.10}");
        assert_eq!(EventFacts::default().stored(), None);
    }
}
