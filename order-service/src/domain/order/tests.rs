//! Each cell of the table, and the properties that hold for every history.

use shared::decider::{given, step};
use time::macros::datetime;

use super::*;
use crate::domain::{
    catalogue::Sku,
    contact::{EmailAddress, PaymentMethod},
    draft::{Customer, OrderLine},
    money::{Currency, Quantity},
};

mod laws;
mod table;

const PLACED_AT: OffsetDateTime = datetime!(2026-01-02 03:00:00 UTC);
const NOW: OffsetDateTime = datetime!(2026-01-02 03:01:00 UTC);
const DUE_AT: OffsetDateTime = datetime!(2026-01-02 03:05:00 UTC);
const WINDOW: Duration = Duration::minutes(30);

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

fn placement() -> PlacedOrder {
    let line = OrderLine {
        sku: Sku::parse("tea").unwrap(),
        quantity: Quantity::new(2).unwrap(),
        unit_price: eur(250),
    };
    PlacedOrder {
        lines: vec![line],
        total: eur(500),
        payment_method: PaymentMethod::parse("tok_visa").unwrap(),
        customer: Customer { email: EmailAddress::parse("a@b.example").unwrap(), name: None },
        placed_at: PLACED_AT,
        due_at: DUE_AT,
    }
}

fn place() -> OrderCommand {
    OrderCommand::Place(placement())
}

fn record(news: ServiceEvent) -> OrderCommand {
    OrderCommand::Record { news, now: NOW }
}

fn cancel() -> OrderCommand {
    OrderCommand::Cancel { now: NOW, window: WINDOW }
}

fn rejected() -> ServiceEvent {
    let sku = Sku::parse("tea").unwrap();
    ServiceEvent::StockRejected { missing: vec![MissingLine { sku, requested: 2, available: 1 }] }
}

fn paid(minor: i64) -> ServiceEvent {
    ServiceEvent::PaymentDone { paid: eur(minor), charge: "ch_1".to_owned() }
}

fn failed(failure: PaymentFailure) -> ServiceEvent {
    ServiceEvent::PaymentFailed { failure, code: None }
}

fn under_review() -> ServiceEvent {
    ServiceEvent::PaymentUnderReview { reason: "wrong-amount".to_owned() }
}

fn channel() -> NoticeChannel {
    NoticeChannel { name: "email".to_owned(), kind: "confirmed".to_owned() }
}

/// Messages that only follow an end.
fn aftermath() -> [ServiceEvent; 4] {
    [
        ServiceEvent::StockReleased,
        ServiceEvent::PaymentRefunded { refunded: eur(500), refund: "re_1".to_owned() },
        ServiceEvent::NotificationSent { channel: channel() },
        ServiceEvent::NotificationFailed {
            channel: channel(),
            reason: "no such mailbox".to_owned(),
        },
    ]
}

fn everything_said() -> Vec<ServiceEvent> {
    let mut all = vec![
        ServiceEvent::StockReserved,
        rejected(),
        paid(500),
        failed(PaymentFailure::Declined),
        failed(PaymentFailure::Unavailable),
        under_review(),
    ];
    all.extend(aftermath());
    all
}

fn cancelled(reason: CancelReason) -> OrderEvent {
    OrderEvent::Cancelled { reason, at: NOW }
}

fn pending() -> Vec<OrderEvent> {
    vec![OrderEvent::Placed(placement())]
}

fn confirmed() -> Vec<OrderEvent> {
    vec![OrderEvent::Placed(placement()), OrderEvent::Confirmed { total: eur(500), at: NOW }]
}

fn given_up() -> Vec<OrderEvent> {
    vec![OrderEvent::Placed(placement()), cancelled(CancelReason::TimedOut)]
}

#[test]
fn placing_makes_an_order_pending() {
    given::<Order>([]).when(&place()).then(pending());
    let order = shared::decider::replay::<Order>(&pending()).unwrap();
    assert_eq!(order.stage, OrderStage::Pending { due_at: DUE_AT });
}

#[test]
fn nothing_but_placing_begins_an_order() {
    for news in everything_said() {
        given::<Order>([]).when(&record(news)).then_rejected(OrderRejection::Unknown);
    }
    given::<Order>([]).when(&cancel()).then_rejected(OrderRejection::Unknown);
    given::<Order>([])
        .when(&OrderCommand::PassDeadline { now: DUE_AT })
        .then_rejected(OrderRejection::Unknown);
}

#[test]
fn placing_again_is_a_repeat_and_placing_another_is_refused() {
    let another = OrderCommand::Place(PlacedOrder { total: eur(501), ..placement() });
    for history in [pending(), confirmed(), given_up()] {
        given::<Order>(history.clone()).when(&place()).then_nothing();
        given::<Order>(history).when(&another).then_rejected(OrderRejection::AlreadyPlaced);
    }
}

#[test]
fn stock_reserved_is_noted_at_every_stage() {
    for history in [pending(), confirmed(), given_up()] {
        given::<Order>(history)
            .when(&record(ServiceEvent::StockReserved))
            .then([OrderEvent::Noted(ServiceEvent::StockReserved)]);
    }
}

#[test]
fn stock_rejected_cancels_a_pending_order() {
    given::<Order>(pending())
        .when(&record(rejected()))
        .then([OrderEvent::Noted(rejected()), cancelled(CancelReason::OutOfStock)]);
}

#[test]
fn payment_done_confirms_a_pending_order() {
    given::<Order>(pending())
        .when(&record(paid(500)))
        .then([OrderEvent::Noted(paid(500)), OrderEvent::Confirmed { total: eur(500), at: NOW }]);
}

#[test]
fn another_amount_than_the_total_does_not_confirm() {
    for minor in [0, 499, 501] {
        given::<Order>(pending())
            .when(&record(paid(minor)))
            .then_rejected(OrderRejection::PaidOtherwise { paid: eur(minor), total: eur(500) });
    }
    let dollars = Money::new(500, Currency::parse("USD").unwrap()).unwrap();
    given::<Order>(pending())
        .when(&record(ServiceEvent::PaymentDone { paid: dollars, charge: "ch_1".to_owned() }))
        .then_rejected(OrderRejection::PaidOtherwise { paid: dollars, total: eur(500) });
}

#[test]
fn payment_failed_cancels_a_pending_order_with_its_reason() {
    for (failure, reason) in [
        (PaymentFailure::Declined, CancelReason::PaymentDeclined),
        (PaymentFailure::Unavailable, CancelReason::PaymentUnavailable),
    ] {
        given::<Order>(pending())
            .when(&record(failed(failure)))
            .then([OrderEvent::Noted(failed(failure)), cancelled(reason)]);
    }
}

#[test]
fn a_deadline_cancels_a_pending_order_once_it_is_due() {
    let at = |now| OrderCommand::PassDeadline { now };
    given::<Order>(pending()).when(&at(DUE_AT - Duration::MICROSECOND)).then_nothing();
    given::<Order>(pending())
        .when(&at(DUE_AT))
        .then([OrderEvent::Cancelled { reason: CancelReason::TimedOut, at: DUE_AT }]);
}

#[test]
fn a_deadline_means_nothing_to_an_order_that_has_ended() {
    for history in [confirmed(), given_up()] {
        given::<Order>(history).when(&OrderCommand::PassDeadline { now: DUE_AT }).then_nothing();
    }
}

#[test]
fn the_customer_cancels_a_pending_order() {
    given::<Order>(pending()).when(&cancel()).then([cancelled(CancelReason::Requested)]);
}

#[test]
fn the_customer_cancels_a_confirmed_order_while_the_window_lasts() {
    let at = |now| OrderCommand::Cancel { now, window: WINDOW };
    let last = NOW + WINDOW;
    given::<Order>(confirmed())
        .when(&at(last))
        .then([OrderEvent::Cancelled { reason: CancelReason::Requested, at: last }]);
    given::<Order>(confirmed())
        .when(&at(last + Duration::MICROSECOND))
        .then_rejected(OrderRejection::TooLate { confirmed_at: NOW, closed_at: last });
}

#[test]
fn cancelling_twice_is_a_repeat() {
    given::<Order>(given_up()).when(&cancel()).then_nothing();
}

#[test]
fn payment_done_after_the_confirmation_is_noted() {
    given::<Order>(confirmed()).when(&record(paid(500))).then([OrderEvent::Noted(paid(500))]);
}

#[test]
fn a_confirmed_order_cannot_have_failed() {
    for news in [rejected(), failed(PaymentFailure::Declined), failed(PaymentFailure::Unavailable)]
    {
        given::<Order>(confirmed())
            .when(&record(news))
            .then_rejected(OrderRejection::Contradiction);
    }
}

#[test]
fn whatever_is_said_of_a_cancelled_order_is_noted() {
    for news in everything_said() {
        given::<Order>(given_up()).when(&record(news.clone())).then([OrderEvent::Noted(news)]);
    }
}

#[test]
fn a_payment_under_review_is_noted_at_every_stage_and_changes_nothing() {
    for history in [pending(), confirmed(), given_up()] {
        let before = shared::decider::replay::<Order>(&history);
        let noted = OrderEvent::Noted(under_review());
        given::<Order>(history).when(&record(under_review())).then([noted.clone()]);
        assert_eq!(Order::evolve(before, &noted), before);
    }
}

#[test]
fn a_payment_under_review_moves_no_deadline() {
    let history = [pending(), vec![OrderEvent::Noted(under_review())]].concat();
    let at = |now| OrderCommand::PassDeadline { now };
    given::<Order>(history.clone()).when(&at(DUE_AT - Duration::MICROSECOND)).then_nothing();
    given::<Order>(history)
        .when(&at(DUE_AT))
        .then([OrderEvent::Cancelled { reason: CancelReason::TimedOut, at: DUE_AT }]);
}

#[test]
fn what_follows_an_end_is_noted_at_every_stage() {
    for history in [pending(), confirmed(), given_up()] {
        for news in aftermath() {
            given::<Order>(history.clone())
                .when(&record(news.clone()))
                .then([OrderEvent::Noted(news)]);
        }
    }
}
