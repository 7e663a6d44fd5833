//! Payments on a terminal. Their texts are the gateway's and the service's: each stays on its line.

use shared::visible_text::visible;

use contract::currency;

use super::{Money, ShownPayment};
use crate::{
    invocation,
    text_table::{TextTable, unbroken},
};

/// One payment a row, under headings.
pub(super) fn table(payments: &[ShownPayment], width: Option<usize>) -> Vec<String> {
    if payments.is_empty() {
        return vec!["no such payments".to_owned()];
    }
    let mut table = TextTable::new(["ORDER", "STAGE", "AMOUNT", "CHANGED (UTC)"]);
    for payment in payments {
        let stage = match why(payment) {
            Some(why) => format!("{}: {why}", payment.stage),
            None => payment.stage.clone(),
        };
        let changed = second(&payment.updated_at);
        table.row([payment.order_id.to_string(), stage, amounts(payment), changed]);
    }
    table.lines(width)
}

/// What is asked, and what was charged if that is something else.
fn amounts(payment: &ShownPayment) -> String {
    let asked = payment.amount.as_ref().map(|amount| unbroken(&money(amount)));
    let charged = payment.charge.as_ref().map(|charge| unbroken(&money(&charge.amount)));
    match (asked, charged) {
        (Some(asked), Some(charged)) if asked != charged => format!("{asked}, charged {charged}"),
        (asked, charged) => asked.or(charged).unwrap_or_default(),
    }
}

/// All of one payment, and what can be decided of it.
pub(super) fn whole(payment: &ShownPayment) -> Vec<String> {
    let charge = payment.charge.as_ref();
    let parts = [
        ("order", Some(payment.order_id.to_string())),
        ("stage", Some(payment.stage.clone())),
        ("why", why(payment)),
        ("asked", payment.amount.as_ref().map(money)),
        ("charged", charge.map(|charge| format!("{} ({})", money(&charge.amount), charge.id))),
        ("refund", payment.refund_id.clone()),
        ("method", payment.payment_method.clone()),
        ("since", Some(second(&payment.created_at))),
        ("changed", Some(second(&payment.updated_at))),
    ];
    let mut lines: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name:<9} {}", visible(&value?))))
        .collect();
    let id = payment.order_id;
    let decisions: &[&str] = match (payment.stage.as_str(), payment.review.as_deref()) {
        ("needs-review", Some("wrong-amount")) => &["accept", "refund"],
        ("needs-review", _) => &["refund", "settle"],
        _ => &[],
    };
    lines.extend(
        decisions
            .iter()
            .map(|decision| invocation::command(&format!("payments review {id} {decision}")))
            .map(|command| format!("decide:   {command}")),
    );
    lines
}

fn why(payment: &ShownPayment) -> Option<String> {
    let failure = payment.failure.as_ref().map(|shown_failure| {
        shown_failure.code.as_ref().map_or_else(
            || shown_failure.reason.clone(),
            |code| format!("{} ({code})", shown_failure.reason),
        )
    });
    payment.review.clone().or(failure)
}

/// By the decimals of its currency.
fn money(money: &Money) -> String {
    currency::amount(money.minor, &money.currency)
}

/// A time without the part of the second, as its heading says that it is UTC.
fn second(time: &str) -> String {
    time.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ORDER: &str = "01a20fcc-a92c-76ef-87b5-a07309aa9900";

    fn payment(parts: &Value) -> ShownPayment {
        let mut whole = json!({
            "order_id": ORDER, "stage": "done", "amount": { "minor": 4_205, "currency": "EUR" },
            "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:06Z",
        });
        whole.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_list_is_a_line_each_under_a_heading() {
        let wrong = json!({ "stage": "needs-review", "review": "wrong-amount",
            "charge": { "id": "ch_1", "amount": { "minor": 4_206, "currency": "EUR" } } });
        let declined = json!({ "stage": "failed",
            "failure": { "reason": "declined", "code": "expired_card" } });
        assert_eq!(
            table(&[payment(&wrong), payment(&declined)], None),
            [
                "ORDER                                 STAGE                            AMOUNT                        CHANGED (UTC)".to_owned(),
                format!("{ORDER}  needs-review: wrong-amount       42.05 EUR, charged 42.06 EUR  2026-01-02 03:04:06"),
                format!("{ORDER}  failed: declined (expired_card)  42.05 EUR                     2026-01-02 03:04:06"),
            ]
        );
        assert_eq!(table(&[], None), ["no such payments"]);
    }

    #[test]
    fn no_text_from_outside_leaves_its_line_or_reaches_the_terminal() {
        let outside = "a\u{1b}]0;t\u{7}\u{9b}2J\r\nforged\u{202e}";
        let money = json!({ "minor": 1, "currency": outside });
        let payment = payment(&json!({
            "stage": outside, "amount": money, "payment_method": outside, "refund_id": outside,
            "charge": { "id": outside, "amount": money }, "updated_at": outside,
            "failure": { "reason": outside, "code": outside },
        }));
        for lines in [table(std::slice::from_ref(&payment), None), whole(&payment)] {
            for line in lines {
                assert_eq!(visible(&line), line);
            }
        }
    }

    #[test]
    fn what_can_be_decided_is_said_as_a_command() {
        let shown = |review: &str| {
            whole(&payment(&json!({ "stage": "needs-review", "review": review }))).join("\n")
        };
        let accept = format!("sagactl payments review {ORDER} accept");
        let refund = format!("sagactl payments review {ORDER} refund");
        assert!(shown("wrong-amount").contains(&accept) && shown("wrong-amount").contains(&refund));
        assert!(!shown("refund-failed").contains(&accept));
        let settle = format!("sagactl payments review {ORDER} settle");
        assert!(!shown("wrong-amount").contains(&settle));
        for review in ["refund-failed", "charge-disputed", "charge-unknown", "charge-in-doubt"] {
            assert!(shown(review).contains(&refund) && shown(review).contains(&settle));
        }
        let done = whole(&payment(&json!({}))).join("\n");
        assert!(
            done.contains("since     2026-01-02 03:04:05") && !done.contains("decide"),
            "{done}"
        );
    }

    #[test]
    fn amounts_are_written_as_people_write_them() {
        let of = |minor, currency: &str| money(&Money { minor, currency: currency.to_owned() });
        assert_eq!(of(5, "EUR"), "0.05 EUR");
        assert_eq!(of(-1_234, "USD"), "-12.34 USD");
        assert_eq!(of(700, "JPY"), "700 JPY");
        assert_eq!(of(700, "KWD"), "0.700 KWD");
        assert_eq!(of(700, "XYZ"), "700 minor units of XYZ");
    }
}
