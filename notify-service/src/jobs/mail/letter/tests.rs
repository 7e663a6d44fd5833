use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const ORDER: Uuid = Uuid::from_u128(7);

fn money(minor: i64, currency: &str) -> Money {
    Money { minor, currency: currency.to_owned() }
}

fn customer(name: Option<&str>) -> CustomerContact {
    CustomerContact {
        email: "ada@example.org".to_owned(),
        name: name.map(str::to_owned),
        total: money(1_250, "EUR"),
    }
}

fn letter(occasion: &NotificationCause) -> MailText {
    MailText::write(ORDER, occasion, &customer(Some("Ada")))
}

#[test]
fn a_confirmation_of_an_order_that_costs_nothing_speaks_of_no_payment() {
    let text = letter(&NotificationCause::Confirmed { total: money(0, "EUR") }).text();
    assert!(text.contains("There is nothing to pay.") && !text.contains("paid"), "{text}");
}

#[test]
fn a_confirmation_reads_like_this() {
    let letter = letter(&NotificationCause::Confirmed { total: money(1_250, "EUR") });
    assert_eq!(letter.subject, "Your order is confirmed");
    assert_eq!(
        letter.text(),
        "Hello Ada,\n\n\
         good news: your order is confirmed. You paid 12.50 EUR.\n\n\
         Order: 00000000-0000-0000-0000-000000000007\nTotal: 12.50 EUR\n"
    );
}

#[test]
fn a_cancellation_reads_like_this() {
    let letter = letter(&NotificationCause::Cancelled { reason: CancelReason::OutOfStock });
    assert_eq!(letter.subject, "Your order was cancelled");
    assert_eq!(
        letter.text(),
        "Hello Ada,\n\n\
         your order was cancelled: something that you ordered is out of stock. \
         Whatever you paid for it, you get back.\n\n\
         Order: 00000000-0000-0000-0000-000000000007\nTotal: 12.50 EUR\n"
    );
}

#[test]
fn a_refund_reads_like_this() {
    let letter = letter(&NotificationCause::Refunded { amount: money(1_250, "EUR") });
    assert_eq!(letter.subject, "Your money is on its way back");
    assert_eq!(
        letter.text(),
        "Hello Ada,\n\n\
         we returned 12.50 EUR to you for the order that was cancelled.\n\n\
         Order: 00000000-0000-0000-0000-000000000007\nTotal: 12.50 EUR\n"
    );
}

#[test]
fn the_html_body_says_the_same() {
    let letter = letter(&NotificationCause::Refunded { amount: money(1_250, "EUR") });
    assert_eq!(
        letter.html(),
        "<!DOCTYPE html>\n<html lang=\"en\">\n<body>\n\
         <p>Hello Ada,</p>\n\
         <p>we returned 12.50 EUR to you for the order that was cancelled.</p>\n\
         <p>Order: 00000000-0000-0000-0000-000000000007<br>\nTotal: 12.50 EUR</p>\n\
         </body>\n</html>\n"
    );
}

#[test]
fn each_reason_is_told_in_words_of_its_own() {
    let reasons = [
        CancelReason::OutOfStock,
        CancelReason::PaymentDeclined,
        CancelReason::PaymentUnavailable,
        CancelReason::TimedOut,
        CancelReason::Requested,
        CancelReason::Other,
    ];
    let texts: std::collections::HashSet<_> = reasons
        .iter()
        .map(|reason| letter(&NotificationCause::Cancelled { reason: *reason }).text())
        .collect();
    assert_eq!(texts.len(), reasons.len());
}

#[test]
fn who_gave_no_name_is_greeted_without() {
    for name in [None, Some(""), Some(" \t\r\n ")] {
        assert_eq!(greet(&customer(name)), "Hello,");
    }
}

#[test]
fn amounts_stand_in_the_units_of_their_currency() {
    for (minor, currency, expected) in [
        (0, "EUR", "0.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-1_205, "USD", "-12.05 USD"),
        (1_250, "JPY", "1250 JPY"),
        (1_250, "KWD", "1.250 KWD"),
        (1_250, "CLF", "0.1250 CLF"),
        (1_250, "UYI", "1250 UYI"),
        // Of an order from before unknown currencies were refused.
        (1_250, "XYZ", "1250 minor units of XYZ"),
    ] {
        assert_eq!(price(&money(minor, currency)), expected);
    }
}

#[test]
fn a_name_turns_no_text_around() {
    let turned = "Ada \u{202e}moc.live\u{2066}\u{2069}\u{202a}";
    assert_eq!(one_line(turned), "Ada moc.live");
    let hebrew = "\u{200f}\u{5d0}\u{5d3}\u{5d4}";
    assert_eq!(one_line(hebrew), hebrew, "a name's own marks stay");
}

#[test]
fn a_name_is_no_markup() {
    let letter = MailText::write(
        ORDER,
        &NotificationCause::Cancelled { reason: CancelReason::Requested },
        &customer(Some("<script>alert(\"&\")</script>")),
    );
    let html = letter.html();
    assert!(
        html.contains("Hello &lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;,"),
        "{html}"
    );
}

proptest! {
    #[test]
    fn no_name_makes_a_second_line(name in any::<String>()) {
        let line = one_line(&name);
        prop_assert!(!line.contains(char::is_control));
        prop_assert!(!line.contains(turns_text));
        prop_assert!(line.chars().count() <= NAME_CHARS_MAX);
    }

    #[test]
    fn no_amount_makes_the_writer_panic(minor: i64, currency in "[A-Z]{3}") {
        let _text = price(&money(minor, &currency));
    }
}
