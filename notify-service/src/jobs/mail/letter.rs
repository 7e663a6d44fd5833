//! The text of a mail. Pure: the same occasion gives the same text.
//!
//! A letter is written when it falls due and is stored in the job. So a copy that is sent after a
//! crash, or by a newer version, is the same byte for byte.

use contract::currency;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::notification::{CancelReason, CustomerContact, Money, NotificationCause};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailText {
    pub subject: String,
    /// Its body, by paragraphs.
    pub paragraphs: Vec<String>,
}

/// A name that is longer is cut.
const NAME_CHARS_MAX: usize = 100;

impl MailText {
    /// Writes to this customer on this occasion.
    pub fn write(
        order_id: Uuid,
        occasion: &NotificationCause,
        addressee: &CustomerContact,
    ) -> Self {
        let (subject, news) = match occasion {
            NotificationCause::Confirmed { total } if total.minor == 0 => (
                "Your order is confirmed",
                "good news: your order is confirmed. There is nothing to pay.".to_owned(),
            ),
            NotificationCause::Confirmed { total } => (
                "Your order is confirmed",
                format!("good news: your order is confirmed. You paid {}.", price(total)),
            ),
            NotificationCause::Cancelled { reason } => (
                "Your order was cancelled",
                format!(
                    "your order was cancelled: {}. Whatever you paid for it, you get back.",
                    explain(*reason)
                ),
            ),
            NotificationCause::Refunded { amount } => (
                "Your money is on its way back",
                format!("we returned {} to you for the order that was cancelled.", price(amount)),
            ),
        };
        let reference = format!("Order: {order_id}\nTotal: {}", price(&addressee.total));
        Self { subject: subject.to_owned(), paragraphs: vec![greet(addressee), news, reference] }
    }

    /// The body as plain text.
    pub fn text(&self) -> String {
        let mut text = self.paragraphs.join("\n\n");
        text.push('\n');
        text
    }

    /// The body as HTML.
    pub fn html(&self) -> String {
        let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<body>\n");
        for paragraph in &self.paragraphs {
            html.push_str("<p>");
            html.push_str(&escape(paragraph).replace('\n', "<br>\n"));
            html.push_str("</p>\n");
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

fn greet(addressee: &CustomerContact) -> String {
    match addressee.name.as_deref().map(one_line).filter(|text| !text.is_empty()) {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
    }
}

/// A name (untrusted input) that is safe within a line: nothing in it ends the line or changes the
/// direction of the text after it.
pub(crate) fn one_line(name: &str) -> String {
    let name = name.replace(turns_text, "");
    let words = name.split(|character: char| character.is_control() || character.is_whitespace());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(NAME_CHARS_MAX).collect()
}

/// Embeddings, overrides and isolates of the bidirectional algorithm (UAX 9): their effect goes
/// beyond the name. The marks (U+200E, U+200F, U+061C) stay: their effect is local, and names need
/// them.
fn turns_text(it: char) -> bool {
    matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn explain(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::OutOfStock => "something that you ordered is out of stock",
        CancelReason::PaymentDeclined => "your payment was declined",
        CancelReason::PaymentUnavailable => "we could not take your payment",
        CancelReason::TimedOut => "we could not complete it in time",
        CancelReason::Requested => "you asked us to cancel it",
        CancelReason::Other => "we could not complete it",
    }
}

/// An amount as people write it, by the decimals of its currency.
fn price(money: &Money) -> String {
    currency::amount(money.minor, &money.currency)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
