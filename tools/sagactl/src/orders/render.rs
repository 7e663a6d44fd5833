//! Orders on a terminal. Their texts are the service's: each stays on its line.

use contract::currency;
use serde_json::Value;
use shared::visible_text::visible;

use super::client::{HistoryEntry, ShownOrder};
use crate::text_table::{TextTable, unbroken};

/// One order a row, under headings.
pub(super) fn table(orders: &[ShownOrder], width: Option<usize>) -> Vec<String> {
    let mut table = TextTable::new(["ORDER", "STATUS", "TOTAL", "PLACED (UTC)"]);
    for order in orders {
        let placed = order.text("placed_at").map(second).unwrap_or_default();
        table.row([order.id.to_string(), status(order), unbroken(&total(order)), placed]);
    }
    table.lines(width)
}

/// All of one order.
pub(super) fn whole(order: &ShownOrder) -> Vec<String> {
    let time = |name| order.text(name).map(second);
    let parts = [
        ("order", Some(order.id.to_string())),
        ("status", Some(status(order))),
        ("total", Some(total(order)).filter(|total| !total.is_empty())),
        ("placed", time("placed_at")),
        ("due", time("due_at")),
        ("confirmed", time("confirmed_at")),
        ("cancelled", time("cancelled_at")),
    ];
    let parts = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut lines: Vec<String> =
        parts.map(|(name, value)| format!("{name:<9}  {}", visible(&value))).collect();
    let bought = order.more.get("lines").and_then(|lines| lines.as_array()).into_iter().flatten();
    lines.extend(bought.filter_map(|line| {
        let (sku, quantity) = (line.get("sku")?.as_str()?, line.get("quantity")?.as_i64()?);
        Some(format!("{:<9}  {quantity} x {}", "line", visible(sku)))
    }));
    lines.extend(order.history.iter().map(entry));
    lines
}

/// What has happened, and when, in one line.
pub(super) fn entry(entry: &HistoryEntry) -> String {
    let (at, what, facts) = (milliseconds(&entry.at), &entry.what, facts(entry).join(", "));
    visible(format!("  {at}  {what:<20} {facts}").trim_end()).into_owned()
}

/// What is particular about it, in words.
fn facts(entry: &HistoryEntry) -> Vec<String> {
    let text = |name: &str| entry.more.get(name)?.as_str().map(str::to_owned);
    let notification = text("notification").zip(text("channel"));
    let notification = notification.map(|(kind, channel)| format!("{kind} by {channel}"));
    let short = |line: &Value| {
        let number = |name: &str| line.get(name).and_then(Value::as_i64).unwrap_or_default();
        let sku = line.get("sku").and_then(Value::as_str).unwrap_or_default();
        format!("{sku}: {} wanted, {} there", number("requested"), number("available"))
    };
    let missing = entry.more.get("missing").and_then(Value::as_array).into_iter().flatten();
    let texts = [notification, text("reason"), text("decline_code"), text("gateway_reference")];
    texts.into_iter().flatten().chain(missing.map(short)).collect()
}

/// How an order ended or stands, in a sentence.
pub(super) fn standing(order: &ShownOrder) -> String {
    let total = total(order);
    let total = if total.is_empty() { total } else { format!(", {total}") };
    format!("order {} is {}{}", order.id, visible(&status(order)), visible(&total))
}

/// The status, and why, of a cancelled order.
fn status(order: &ShownOrder) -> String {
    match &order.reason {
        Some(reason) => format!("{}: {reason}", order.status),
        None => order.status.clone(),
    }
}

/// By the decimals of its currency; empty if the API did not say it.
pub(super) fn total(order: &ShownOrder) -> String {
    let amount = order.total.zip(order.currency.as_deref());
    amount.map(|(minor, code)| currency::amount(minor, code)).unwrap_or_default()
}

/// A time without the part of the second, as its list says that it is UTC.
fn second(time: &str) -> String {
    time.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ")
}

/// A time of day to the millisecond.
fn milliseconds(time: &str) -> String {
    let of_day = time.split_once('T').map_or(time, |(_, of_day)| of_day).trim_end_matches('Z');
    let (whole, part) = of_day.split_once('.').unwrap_or((of_day, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    format!("{whole}.{part}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORDER: &str = "01a20fcc-a92c-76ef-87b5-a07309aa9900";

    fn order() -> ShownOrder {
        serde_json::from_value(json!({
            "id": ORDER, "status": "cancelled", "reason": "out-of-stock", "total": 1_290,
            "currency": "EUR", "placed_at": "2026-01-02T03:04:05.678Z",
            "due_at": "2026-01-02T03:14:05Z", "lines": [{ "sku": "lamp", "quantity": 2 }],
            "history": [
                { "at": "2026-01-02T03:04:05.67Z", "what": "order-placed" },
                { "at": "2026-01-02T03:04:05.7Z", "what": "stock-rejected",
                  "missing": [{ "sku": "lamp", "requested": 2, "available": 0 }] },
                { "at": "2026-01-02T03:04:06Z", "what": "notification-failed", "reason": "refused",
                  "notification": "cancelled", "channel": "email" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_list_is_a_row_each_with_the_total_in_its_currency() {
        assert_eq!(
            table(&[order()], None),
            [
                "ORDER                                 STATUS                   TOTAL      PLACED (UTC)",
                &format!("{ORDER}  cancelled: out-of-stock  12.90 EUR  2026-01-02 03:04:05"),
            ]
        );
    }

    #[test]
    fn an_order_is_shown_whole_with_its_history() {
        let lines = whole(&order());
        for expected in [
            "status     cancelled: out-of-stock",
            "line       2 x lamp",
            "  03:04:05.670  order-placed",
            "  03:04:05.700  stock-rejected       lamp: 2 wanted, 0 there",
            "  03:04:06.000  notification-failed  cancelled by email, refused",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        }
        assert_eq!(
            standing(&order()),
            format!("order {ORDER} is cancelled: out-of-stock, 12.90 EUR")
        );
    }

    #[test]
    fn what_the_api_says_beside_is_kept_for_those_who_read_json() {
        let shown = serde_json::to_value(order()).unwrap();
        assert_eq!(shown["due_at"], "2026-01-02T03:14:05Z");
        assert_eq!(shown["lines"][0]["quantity"], 2);
        assert!(shown.get("more").is_none() && shown["history"][0].get("more").is_none());
    }
}
