use proptest::prelude::*;
use time::macros::datetime;

use uuid::Uuid;

use super::*;
use crate::{
    domain::notification::{CustomerContact, Money, NotificationCause, NotificationKind},
    jobs::mail::MailText,
};

const ORDER: Uuid = Uuid::from_u128(7);

fn mail(name: &str) -> EmailMessage {
    let total = Money { minor: 1_250, currency: "EUR".to_owned() };
    let addressee = CustomerContact {
        email: "ada@example.org".to_owned(),
        name: Some(name.to_owned()),
        total: total.clone(),
    };
    EmailMessage {
        order_id: ORDER,
        message_id: mail::message_id(ORDER, NotificationKind::Confirmed, "shop.example"),
        email: addressee.email.clone(),
        name: addressee.name.clone(),
        written_at: datetime!(2026-01-02 03:04:05 UTC),
        letter: MailText::write(ORDER, &NotificationCause::Confirmed { total }, &addressee),
    }
}

fn on_paper(name: &str) -> String {
    let from = "Shop <orders@shop.example>".parse().unwrap();
    let parcel = write(&from, &mail(name)).unwrap();
    String::from_utf8(parcel.content).unwrap()
}

/// The lines up to the first empty one, with what was folded put together again.
fn headers(paper: &str) -> Vec<String> {
    let head = paper.split("\r\n\r\n").next().unwrap();
    head.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect()
}

#[test]
fn a_mail_looks_like_this_on_paper() {
    assert_eq!(
        on_paper("Ada").replace("\r\n", "\n"),
        "\
From: Shop <orders@shop.example>
To: Ada <ada@example.org>
Subject: Your order is confirmed
Date: Fri, 02 Jan 2026 03:04:05 +0000
Message-ID: <00000000-0000-0000-0000-000000000007.confirmed.email@shop.example>
X-Order-Id: 00000000-0000-0000-0000-000000000007
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary=\"letter-00000000000000000000000000000007\"

--letter-00000000000000000000000000000007
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello Ada,

good news: your order is confirmed. You paid 12.50 EUR.

Order: 00000000-0000-0000-0000-000000000007
Total: 12.50 EUR

--letter-00000000000000000000000000000007
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<!DOCTYPE html>
<html lang=\"en\">
<body>
<p>Hello Ada,</p>
<p>good news: your order is confirmed. You paid 12.50 EUR.</p>
<p>Order: 00000000-0000-0000-0000-000000000007<br>
Total: 12.50 EUR</p>
</body>
</html>

--letter-00000000000000000000000000000007--
"
    );
}

#[test]
fn a_copy_is_the_same_to_the_byte() {
    assert_eq!(on_paper("Ada Łovelace"), on_paper("Ada Łovelace"));
}

#[test]
fn a_name_adds_no_header_whatever_it_holds() {
    let plain = headers(&on_paper("Ada"));
    for name in [
        "Ada\r\nBcc: everybody@example.org",
        "Ada\nSubject: another",
        "Ada\r\n\r\n<h1>another body</h1>",
        "Ada\" <evil@example.org>, \"",
        "Ada\0\u{7f}\u{85}\u{2028}Bcc: everybody@example.org",
        "Ada\u{1b}]0;title\u{7}\u{9b}31m\u{202e}Bcc: everybody@example.org",
    ] {
        let headers = headers(&on_paper(name));
        let names = |values: &[String]| -> Vec<String> {
            values.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&headers), names(&plain), "{name:?}");
        assert!(headers[1].ends_with("<ada@example.org>"), "{}", headers[1]);
    }
}

#[test]
fn a_mail_is_ascii_on_the_wire_whatever_the_name() {
    for name in ["Ada Łovelace", "愛達 洛芙萊斯", "🦀".repeat(300).as_str()] {
        assert!(on_paper(name).is_ascii());
    }
}

#[test]
fn an_address_that_is_none_is_never_tried() {
    let from = "Shop <orders@shop.example>".parse().unwrap();
    for email in ["", "ada", "ada@", "ada@example.org\r\nRCPT TO:<bob@example.org>", "a b@c.d"] {
        let mail = EmailMessage { email: email.to_owned(), ..mail("Ada") };
        assert!(matches!(write(&from, &mail), Err(ComposeError::Address)), "{email:?}");
    }
}

#[test]
fn a_job_knows_its_order_and_kind_by_its_name() {
    for kind in NotificationKind::ALL {
        assert_eq!(mail::read_key(&mail::key(ORDER, kind).key), Some((ORDER, kind)));
    }
    for name in ["", "confirmed", "7.confirmed", "00000000-0000-0000-0000-000000000007.eaten"] {
        assert_eq!(mail::read_key(name), None);
    }
}

#[test]
fn what_a_job_holds_is_read_by_every_later_version() {
    // As kept by the first version: jobs outlive the process that wrote them.
    let kept = serde_json::json!({
        "order_id": "00000000-0000-0000-0000-000000000007",
        "message_id": "00000000-0000-0000-0000-000000000007.confirmed.email@shop.example",
        "email": "ada@example.org",
        "name": "Ada",
        "written_at": "2026-01-02T03:04:05Z",
        "letter": {
            "subject": "Your order is confirmed",
            "paragraphs": [
                "Hello Ada,",
                "good news: your order is confirmed. You paid 12.50 EUR.",
                "Order: 00000000-0000-0000-0000-000000000007\nTotal: 12.50 EUR",
            ],
        },
    });
    assert_eq!(serde_json::to_value(mail("Ada")).unwrap(), kept);
    assert_eq!(serde_json::from_value::<EmailMessage>(kept).unwrap(), mail("Ada"));
}

proptest! {
    #[test]
    fn no_name_makes_the_writer_panic(name in any::<String>()) {
        prop_assert!(on_paper(&name).is_ascii());
    }

    #[test]
    fn no_address_makes_the_writer_panic(email in any::<String>()) {
        let from = "Shop <orders@shop.example>".parse().unwrap();
        let _parcel = write(&from, &EmailMessage { email, ..mail("Ada") });
    }
}
