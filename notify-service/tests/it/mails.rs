//! Mails at a real mail server: what arrives, how often, and under which name.

use devstack::none_left;

use crate::{
    kit::{Order, TestService},
    mailbox::{Mail, Mailbox},
};

/// Lets everything that is due be sent.
async fn send(service: &TestService) {
    let step = service.mailer().await.step().await.unwrap();
    assert_eq!((step.again, step.gave_up, step.lost), (0, 0, 0), "{step:?}");
}

#[tokio::test]
async fn a_confirmed_order_is_told_once_under_its_message_id() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    service.consumes(&order, &order.confirmed()).await;
    send(&service).await;
    send(&service).await;
    let mails = mailbox.mails(&order).await;
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!(mail.message_id(), order.message_id("confirmed"));
    assert_eq!(mail.text("Subject"), "Your order is confirmed");
    assert_eq!(mail.to(), ("Ada", order.email.as_str()));
    for body in [mail.text("Text"), mail.text("HTML")] {
        assert!(body.contains("12.50 EUR") && body.contains(&order.id.to_string()), "{body}");
    }
    assert!(mail.raw.contains(&format!("X-Order-Id: {}\r\n", order.id)), "{}", mail.raw);
    assert!(mail.raw.contains("Auto-Submitted: auto-generated\r\n"), "RFC 3834: {}", mail.raw);
    assert_eq!(service.said(&order).await.len(), 1);
    assert!(service.jobs().await.is_empty());
}

#[tokio::test]
async fn an_order_cancelled_before_it_was_told_of_is_told_of_as_cancelled_only() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let order = Order::new();
    service.consumes(&order, &order.cancelled()).await;
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    send(&service).await;
    let mails = mailbox.mails(&order).await;
    let ids: Vec<&str> = mails.iter().map(Mail::message_id).collect();
    assert_eq!(ids, [order.message_id("cancelled")]);
    assert!(mails[0].text("Text").contains("out of stock"));
}

#[tokio::test]
async fn a_confirmation_read_before_the_order_is_sent_once_the_order_is_known() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let order = Order::new();
    service.consumes(&order, &order.confirmed()).await;
    send(&service).await;
    assert!(mailbox.mails(&order).await.is_empty());
    service.consumes(&order, &order.placed()).await;
    send(&service).await;
    assert_eq!(mailbox.mails(&order).await.len(), 1);
}

#[tokio::test]
async fn a_copy_after_a_crash_is_the_same_mail() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    // No worker can settle while this transaction holds the order's row.
    let mut blocker = shared::db::begin(&service.pool).await.unwrap();
    let rows = "SELECT 1 FROM correspondences FOR UPDATE";
    sqlx::query(rows).execute(&mut *blocker).await.unwrap();
    let mut dying = service.mailer().await;
    tokio::select! {
        step = dying.step() => panic!("settled: {step:?}"),
        () = service.somebody_waits() => {}
    }
    drop(dying);
    blocker.rollback().await.unwrap();
    assert_eq!(mailbox.mails(&order).await.len(), 1);
    assert!(service.said(&order).await.is_empty());

    service.end_leases().await;
    send(&service).await;
    let mails = mailbox.mails(&order).await;
    let [first, copy] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!(first.message_id(), order.message_id("confirmed"));
    assert_eq!(first.as_sent(), copy.as_sent());
    assert_eq!(service.said(&order).await.len(), 1);
}

#[tokio::test]
async fn the_date_of_a_mail_is_when_it_fell_due() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.refunded()).await;
    let due: time::OffsetDateTime =
        sqlx::query_scalar("SELECT at FROM notices").fetch_one(&service.pool).await.unwrap();
    send(&service).await;
    let mails = mailbox.mails(&order).await;
    assert_eq!(mails[0].date().unix_timestamp(), due.unix_timestamp());
}

#[tokio::test]
async fn a_name_that_holds_headers_is_harmless() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    let names = [
        "Ada\r\nBcc: everybody@example.org",
        "Ada\n\nA body of its own",
        "\", <everybody@example.org>, \"",
        "Ada\u{0}\u{7f}",
    ];
    for name in names {
        let mut order = Order::of(name);
        // Postgres keeps no zeros in a text.
        order.name = order.name.map(|text| text.replace('\0', ""));
        service.consumes(&order, &order.placed()).await;
        service.consumes(&order, &order.confirmed()).await;
        send(&service).await;
        let mails = mailbox.mails(&order).await;
        let [mail] = &mails[..] else { panic!("{name:?}: {mails:?}") };
        assert_eq!(mail.recipients(), 1, "{name:?}");
        assert_eq!(mail.to().1, order.email);
        assert!(mail.text("Text").starts_with("Hello "), "{name:?}");
    }
}

#[tokio::test]
async fn names_of_all_the_world_arrive_as_they_are() {
    let service = TestService::open().await;
    let mailbox = Mailbox::open().await;
    for name in ["Łucja Brzęczyszczykiewicz", "محمد", "愛達 洛芙萊斯", "Zoë 🦀 O'Neill"]
    {
        let order = Order::of(name);
        service.consumes(&order, &order.placed()).await;
        service.consumes(&order, &order.confirmed()).await;
        send(&service).await;
        let mails = mailbox.mails(&order).await;
        assert_eq!(mails[0].to().0, name);
        assert!(mails[0].text("Text").contains(name), "{}", mails[0].text("Text"));
    }
}

#[tokio::test]
async fn many_orders_are_told_at_once() {
    let service = TestService::open().await;
    let orders: Vec<Order> = (0..100).map(|_| Order::new()).collect();
    let mut batch = Vec::new();
    for order in &orders {
        batch.push(service.incoming(order, &order.placed()));
        batch.push(service.incoming(order, &order.confirmed()));
    }
    service.consumes_batch(&batch).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let done = async {
        none_left("every job is done", async || service.jobs().await.len()).await;
        stop.cancel();
    };
    let worker = service.mailer().await;
    let (ended, ()) = tokio::join!(worker.run(stop.clone()), done);
    ended.unwrap();
    let mailbox = Mailbox::open().await;
    for order in &orders {
        assert_eq!(mailbox.mails(order).await.len(), 1);
    }
}
