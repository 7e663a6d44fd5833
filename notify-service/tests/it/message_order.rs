//! From messages to due mails: every order of messages, in one database.

use contract::{NotificationSent, OrderConfirmed, OrderPlaced, PaymentRefunded};
use shared::{db, effects::WorkerWakers, fault::Fault, jobs::WorkerStep};

use crate::{
    kit::{Order, Said, TestService},
    mailbox::Mailbox,
};

fn stages(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, stage)| ((*kind).to_owned(), (*stage).to_owned())).collect()
}

#[tokio::test]
async fn an_occasion_waits_for_the_contact() {
    let service = TestService::open().await;
    let order = Order::new();
    service.consumes(&order, &order.confirmed()).await;
    assert_eq!(service.stages(&order).await, stages(&[("confirmed", "waiting-for-contact")]));
    assert!(service.jobs().await.is_empty());
    service.consumes(&order, &order.placed()).await;
    assert_eq!(service.stages(&order).await, stages(&[("confirmed", "due")]));
    assert_eq!(service.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_confirmation_read_after_the_cancellation_makes_no_job() {
    let service = TestService::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.cancelled()).await;
    service.consumes(&order, &order.confirmed()).await;
    assert_eq!(
        service.stages(&order).await,
        stages(&[("cancelled", "due"), ("confirmed", "skipped")])
    );
    assert_eq!(service.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_cancellation_takes_the_job_of_the_confirmation_away() {
    let service = TestService::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    service.consumes(&order, &order.cancelled()).await;
    assert_eq!(
        service.stages(&order).await,
        stages(&[("cancelled", "due"), ("confirmed", "skipped")])
    );
    assert_eq!(service.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_batch_leads_where_its_messages_lead_one_by_one() {
    let service = TestService::open().await;
    let orders: Vec<Order> = (0..50).map(|_| Order::new()).collect();
    let mut batch = Vec::new();
    for (n, order) in orders.iter().enumerate() {
        let mut said = vec![
            service.incoming(order, &order.placed()),
            service.incoming(order, &order.confirmed()),
            service.incoming(order, &order.refunded()),
            service.incoming(order, &order.cancelled()),
        ];
        // Another succession for each order; of many, one job begins and is withdrawn in the batch.
        said.rotate_left(n % 4);
        batch.extend(said);
    }
    service.consumes_batch(&batch).await;
    for order in &orders {
        assert_eq!(
            service.stages(order).await,
            stages(&[("cancelled", "due"), ("confirmed", "skipped"), ("refunded", "due")])
        );
    }
    assert_eq!(service.jobs().await.len(), 100);
}

#[tokio::test]
async fn two_that_begin_the_same_order_at_once_do_not_overwrite_each_other() {
    let service = TestService::open().await;
    let order = Order::new();
    let rows = service.addressed(&order, &order.confirmed()).await;
    let mut first = db::begin(&service.pool).await.unwrap();
    let contact = service.addressed(&order, &order.placed()).await;
    let outcome = service.app.execute(&mut first, &[contact]).await.unwrap();
    drop(outcome.effects.save(&mut first, &WorkerWakers::default()).await.unwrap());
    let second = async {
        let mut second = db::begin(&service.pool).await.unwrap();
        service.app.execute(&mut second, std::slice::from_ref(&rows)).await
    };
    let commit = async {
        service.somebody_waits().await;
        first.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(second, commit);
    let fault = outcome.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)) && fault.is_collision(), "{fault:?}");
    service.consumes(&order, &order.confirmed()).await;
    assert_eq!(service.stages(&order).await, stages(&[("confirmed", "due")]));
}

#[tokio::test]
async fn what_an_order_says_is_counted_through() {
    let service = TestService::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.cancelled()).await;
    let mut mailer = service.mailer().await;
    assert_eq!(mailer.step().await.unwrap().done, 1);
    service.consumes(&order, &order.refunded()).await;
    assert_eq!(
        mailer.step().await.unwrap(),
        WorkerStep { claimed: 1, done: 1, ..WorkerStep::default() }
    );
    let said = |sequence, kind: &str| Said {
        topic: <NotificationSent as shared::codec::Record>::TOPIC.to_owned(),
        sequence,
        kind: kind.to_owned(),
        detail: order.message_id(kind),
    };
    assert_eq!(service.said(&order).await, [said(1, "cancelled"), said(2, "refunded")]);
}

#[tokio::test]
async fn a_text_in_place_of_a_currency_is_a_dead_letter_and_no_mail() {
    let service = TestService::open().await;
    for currency in ["EUR\n\nPay again at https://evil.example", "<b>", "eur", "", "\u{202e}EUR"] {
        let order = Order::new();
        let currency = currency.to_owned();
        let placed = OrderPlaced { currency: currency.clone(), ..order.placed() };
        service.refuses(&order, &placed).await;
        service
            .refuses(&order, &OrderConfirmed { currency: currency.clone(), ..order.confirmed() })
            .await;
        service.refuses(&order, &PaymentRefunded { currency, ..order.refunded() }).await;
        assert_eq!(service.stages(&order).await, []);
    }
}

#[tokio::test]
async fn an_order_in_a_currency_that_iso_4217_does_not_know_is_told_of_in_minor_units() {
    let service = TestService::open().await;
    let order = Order::new();
    let currency = || "XYZ".to_owned();
    service.consumes(&order, &OrderPlaced { currency: currency(), ..order.placed() }).await;
    service.consumes(&order, &OrderConfirmed { currency: currency(), ..order.confirmed() }).await;
    assert_eq!(service.mailer().await.step().await.unwrap().done, 1);
    let mails = Mailbox::open().await.mails(&order).await;
    assert!(mails[0].text("Text").contains("You paid 1250 minor units of XYZ."), "{mails:?}");
}
