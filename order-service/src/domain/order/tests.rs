//! Each cell of the table, and the laws that hold for every history.

use shared::decider::{given, step};
use time::macros::datetime;

use super::*;
use crate::domain::{
    catalogue::Sku,
    contact::{EmailAddress, PaymentMethod},
    draft::{Customer, Line},
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

fn placement() -> Placement {
    let line = Line {
        sku: Sku::parse("tea").unwrap(),
        quantity: Quantity::new(2).unwrap(),
        unit_price: eur(250),
    };
    Placement {
        lines: vec![line],
        total: eur(500),
        payment_method: PaymentMethod::parse("tok_visa").unwrap(),
        customer: Customer { email: EmailAddress::parse("a@b.example").unwrap(), name: None },
        placed_at: PLACED_AT,
        due_at: DUE_AT,
    }
}

fn place() -> Command {
    Command::Place(placement())
}

fn record(news: News) -> Command {
    Command::Record { news, now: NOW }
}

fn cancel() -> Command {
    Command::Cancel { now: NOW, window: WINDOW }
}

fn rejected() -> News {
    let sku = Sku::parse("tea").unwrap();
    News::StockRejected { missing: vec![Missing { sku, requested: 2, available: 1 }] }
}

fn paid(minor: i64) -> News {
    News::PaymentDone { paid: eur(minor), charge: "ch_1".to_owned() }
}

fn failed(failure: Failure) -> News {
    News::PaymentFailed { failure, code: None }
}

fn channel() -> Channel {
    Channel { name: "email".to_owned(), kind: "confirmed".to_owned() }
}

/// What only follows an end.
fn aftermath() -> [News; 4] {
    [
        News::StockReleased,
        News::PaymentRefunded { refunded: eur(500), refund: "re_1".to_owned() },
        News::NotificationSent { channel: channel() },
        News::NotificationFailed { channel: channel(), reason: "no such mailbox".to_owned() },
    ]
}

fn everything_said() -> Vec<News> {
    let mut all = vec![
        News::StockReserved,
        rejected(),
        paid(500),
        failed(Failure::Declined),
        failed(Failure::Unavailable),
    ];
    all.extend(aftermath());
    all
}

fn cancelled(reason: CancelReason) -> Event {
    Event::Cancelled { reason, at: NOW }
}

fn pending() -> Vec<Event> {
    vec![Event::Placed(placement())]
}

fn confirmed() -> Vec<Event> {
    vec![Event::Placed(placement()), Event::Confirmed { total: eur(500), at: NOW }]
}

fn given_up() -> Vec<Event> {
    vec![Event::Placed(placement()), cancelled(CancelReason::TimedOut)]
}

#[test]
fn placing_makes_an_order_pending() {
    given::<Order>([]).when(&place()).then(pending());
    let order = shared::decider::replay::<Order>(&pending()).unwrap();
    assert_eq!(order.stage, Stage::Pending { due_at: DUE_AT });
}

#[test]
fn nothing_but_placing_begins_an_order() {
    for news in everything_said() {
        given::<Order>([]).when(&record(news)).then_rejected(Rejection::Unknown);
    }
    given::<Order>([]).when(&cancel()).then_rejected(Rejection::Unknown);
    given::<Order>([])
        .when(&Command::PassDeadline { now: DUE_AT })
        .then_rejected(Rejection::Unknown);
}

#[test]
fn placing_again_is_a_repeat_and_placing_another_is_refused() {
    let another = Command::Place(Placement { total: eur(501), ..placement() });
    for history in [pending(), confirmed(), given_up()] {
        given::<Order>(history.clone()).when(&place()).then_nothing();
        given::<Order>(history).when(&another).then_rejected(Rejection::AlreadyPlaced);
    }
}

#[test]
fn stock_reserved_is_noted_at_every_stage() {
    for history in [pending(), confirmed(), given_up()] {
        given::<Order>(history)
            .when(&record(News::StockReserved))
            .then([Event::Noted(News::StockReserved)]);
    }
}

#[test]
fn stock_rejected_cancels_a_pending_order() {
    given::<Order>(pending())
        .when(&record(rejected()))
        .then([Event::Noted(rejected()), cancelled(CancelReason::OutOfStock)]);
}

#[test]
fn payment_done_confirms_a_pending_order() {
    given::<Order>(pending())
        .when(&record(paid(500)))
        .then([Event::Noted(paid(500)), Event::Confirmed { total: eur(500), at: NOW }]);
}

#[test]
fn another_amount_than_the_total_does_not_confirm() {
    for minor in [0, 499, 501] {
        given::<Order>(pending())
            .when(&record(paid(minor)))
            .then_rejected(Rejection::PaidOtherwise { paid: eur(minor), total: eur(500) });
    }
    let dollars = Money::new(500, Currency::parse("USD").unwrap()).unwrap();
    given::<Order>(pending())
        .when(&record(News::PaymentDone { paid: dollars, charge: "ch_1".to_owned() }))
        .then_rejected(Rejection::PaidOtherwise { paid: dollars, total: eur(500) });
}

#[test]
fn payment_failed_cancels_a_pending_order_with_its_reason() {
    for (failure, reason) in [
        (Failure::Declined, CancelReason::PaymentDeclined),
        (Failure::Unavailable, CancelReason::PaymentUnavailable),
    ] {
        given::<Order>(pending())
            .when(&record(failed(failure)))
            .then([Event::Noted(failed(failure)), cancelled(reason)]);
    }
}

#[test]
fn a_deadline_cancels_a_pending_order_once_it_is_due() {
    let at = |now| Command::PassDeadline { now };
    given::<Order>(pending()).when(&at(DUE_AT - Duration::MICROSECOND)).then_nothing();
    given::<Order>(pending())
        .when(&at(DUE_AT))
        .then([Event::Cancelled { reason: CancelReason::TimedOut, at: DUE_AT }]);
}

#[test]
fn a_deadline_means_nothing_to_an_order_that_has_ended() {
    for history in [confirmed(), given_up()] {
        given::<Order>(history).when(&Command::PassDeadline { now: DUE_AT }).then_nothing();
    }
}

#[test]
fn the_customer_cancels_a_pending_order() {
    given::<Order>(pending()).when(&cancel()).then([cancelled(CancelReason::Requested)]);
}

#[test]
fn the_customer_cancels_a_confirmed_order_while_the_window_lasts() {
    let at = |now| Command::Cancel { now, window: WINDOW };
    let last = NOW + WINDOW;
    given::<Order>(confirmed())
        .when(&at(last))
        .then([Event::Cancelled { reason: CancelReason::Requested, at: last }]);
    given::<Order>(confirmed())
        .when(&at(last + Duration::MICROSECOND))
        .then_rejected(Rejection::TooLate { confirmed_at: NOW, closed_at: last });
}

#[test]
fn cancelling_twice_is_a_repeat() {
    given::<Order>(given_up()).when(&cancel()).then_nothing();
}

#[test]
fn payment_done_after_the_confirmation_is_noted() {
    given::<Order>(confirmed()).when(&record(paid(500))).then([Event::Noted(paid(500))]);
}

#[test]
fn a_confirmed_order_cannot_have_failed() {
    for news in [rejected(), failed(Failure::Declined), failed(Failure::Unavailable)] {
        given::<Order>(confirmed()).when(&record(news)).then_rejected(Rejection::Contradiction);
    }
}

#[test]
fn whatever_is_said_of_a_cancelled_order_is_noted() {
    for news in everything_said() {
        given::<Order>(given_up()).when(&record(news.clone())).then([Event::Noted(news)]);
    }
}

#[test]
fn what_follows_an_end_is_noted_at_every_stage() {
    for history in [pending(), confirmed(), given_up()] {
        for news in aftermath() {
            given::<Order>(history.clone()).when(&record(news.clone())).then([Event::Noted(news)]);
        }
    }
}
