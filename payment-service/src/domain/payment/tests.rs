//! The rows of the table where something happens, each by its name; [`table`] holds the whole.

use shared::decider::{self, Given, given};

use super::*;

mod table;

pub(super) fn euros(minor: i64) -> Money {
    Money { minor, currency: Currency::parse("EUR").unwrap() }
}

pub(super) fn terms() -> Terms {
    Terms { amount: euros(4_200), method: Token::new("tok_visa") }
}

pub(super) fn charge() -> Charge {
    Charge { id: "ch_1".to_owned(), amount: euros(4_200) }
}

pub(super) fn wrong_charge() -> Charge {
    Charge { id: "ch_1".to_owned(), amount: euros(4_201) }
}

const CANCELLED: Command = Command::OrderCancelled { charge_untouched: false };
const CANCELLED_UNTOUCHED: Command = Command::OrderCancelled { charge_untouched: true };
const REFUSED: Command = Command::GaveUp { in_doubt: false };
const IN_DOUBT: Command = Command::GaveUp { in_doubt: true };

pub(super) fn placed() -> Command {
    Command::OrderPlaced { terms: terms() }
}

fn declined() -> Command {
    Command::Declined { code: "insufficient_funds".to_owned() }
}

const GAVE_UP: Command = Command::RefundGaveUp { obstacle: Obstacle::GaveUp };

fn free_terms() -> Terms {
    Terms { amount: euros(0), method: Token::new("tok_visa") }
}

fn free_placed() -> Command {
    Command::OrderPlaced { terms: free_terms() }
}

fn refunded() -> Command {
    Command::Refunded { refund_id: "re_1".to_owned() }
}

fn unavailable() -> Event {
    Event::Failed { failure: Failure::Unavailable }
}

fn refund_due() -> Event {
    Event::RefundDue { charge: charge() }
}

fn resolve_due() -> Event {
    Event::ResolveDue { terms: terms() }
}

/// The history that leads to each stage, by its name.
fn history(stage: &str) -> Vec<Event> {
    let charging = || vec![Event::Awaited { terms: terms() }, Event::ChargeDue { terms: terms() }];
    let after = |mut before: Vec<Event>, more: Vec<Event>| {
        before.extend(more);
        before
    };
    let done = || after(charging(), vec![Event::Paid { charge: charge() }]);
    let refunding = || after(done(), vec![refund_due()]);
    match stage {
        "unheard" => vec![],
        "awaiting stock" => vec![Event::Awaited { terms: terms() }],
        "free awaiting stock" => vec![Event::Awaited { terms: free_terms() }],
        "free done" => {
            vec![Event::Awaited { terms: free_terms() }, Event::Free { terms: free_terms() }]
        }
        "awaiting order" => vec![Event::StockHeld],
        "charging" => charging(),
        "cancelling" => after(charging(), vec![Event::Recalled]),
        "unresolved" => after(charging(), vec![unavailable(), resolve_due()]),
        "done" => done(),
        "refunding" => refunding(),
        "refunded" => {
            let refund_id = "re_1".to_owned();
            after(refunding(), vec![Event::Refunded { charge: charge(), refund_id }])
        }
        "wrong amount" => after(charging(), vec![Event::Mischarged { charge: wrong_charge() }]),
        "refund failed" => {
            after(refunding(), vec![Event::RefundFailed { obstacle: Obstacle::GaveUp }])
        }
        "charge in doubt" => {
            after(charging(), vec![unavailable(), resolve_due(), Event::DoubtRemains])
        }
        "failed" => after(charging(), vec![unavailable()]),
        "abandoned" => vec![Event::Awaited { terms: terms() }, Event::Abandoned],
        "fenced" => vec![Event::Fenced],
        _ => panic!("no stage is called {stage}"),
    }
}

fn at(stage: &str) -> Given<Payment> {
    given(history(stage))
}

// The way forward.

#[test]
fn an_order_waits_for_its_stock() {
    at("unheard").when(&placed()).then([Event::Awaited { terms: terms() }]);
}

#[test]
fn stock_that_is_held_before_the_order_is_read_waits_for_it() {
    at("unheard").when(&Command::StockReserved).then([Event::StockHeld]);
}

#[test]
fn the_charge_is_due_once_the_stock_is_held() {
    let due = Event::ChargeDue { terms: terms() };
    at("awaiting stock").when(&Command::StockReserved).then([due]);
}

#[test]
fn the_charge_is_due_once_the_order_is_read_last() {
    at("awaiting order").when(&placed()).then([Event::ChargeDue { terms: terms() }]);
}

#[test]
fn an_order_that_costs_nothing_is_done_without_a_charge() {
    let free = Event::Free { terms: free_terms() };
    at("free awaiting stock").when(&Command::StockReserved).then([free.clone()]);
    at("awaiting order").when(&free_placed()).then([free]);
}

#[test]
fn the_right_amount_is_paid() {
    let charged = Command::Charged { charge: charge() };
    at("charging").when(&charged).then([Event::Paid { charge: charge() }]);
}

// The way back.

#[test]
fn a_cancellation_that_comes_first_is_a_fence() {
    at("unheard").when(&CANCELLED).then([Event::Fenced]);
    at("unheard").when(&CANCELLED_UNTOUCHED).then([Event::Fenced]);
}

#[test]
fn a_cancellation_before_the_charge_is_due_ends_the_payment() {
    for stage in ["awaiting stock", "awaiting order"] {
        at(stage).when(&CANCELLED).then([Event::Abandoned]);
        at(stage).when(&CANCELLED_UNTOUCHED).then([Event::Abandoned]);
    }
}

#[test]
fn a_cancellation_before_the_charge_was_tried_stops_it() {
    at("charging").when(&CANCELLED_UNTOUCHED).then([Event::ChargeStopped]);
}

#[test]
fn a_cancellation_while_the_charge_is_tried_waits_for_its_outcome() {
    at("charging").when(&CANCELLED).then([Event::Recalled]);
}

#[test]
fn what_is_charged_after_the_cancellation_goes_back_whatever_it_is() {
    for charge in [charge(), wrong_charge()] {
        let charged = Command::Charged { charge: charge.clone() };
        at("cancelling").when(&charged).then([Event::RefundDue { charge }]);
    }
}

#[test]
fn what_is_not_charged_after_the_cancellation_is_abandoned() {
    at("cancelling").when(&declined()).then([Event::Abandoned]);
    at("cancelling").when(&REFUSED).then([Event::Abandoned]);
}

#[test]
fn what_was_paid_for_a_cancelled_order_goes_back() {
    for cancelled in [CANCELLED, CANCELLED_UNTOUCHED] {
        at("done").when(&cancelled).then([refund_due()]);
        let wrong = Event::RefundDue { charge: wrong_charge() };
        at("wrong amount").when(&cancelled).then([wrong]);
    }
}

#[test]
fn an_order_that_cost_nothing_gets_nothing_back() {
    at("free done").when(&CANCELLED).then([Event::Abandoned]);
    at("free done").when(&CANCELLED_UNTOUCHED).then([Event::Abandoned]);
}

#[test]
fn a_refund_is_the_end() {
    for stage in ["refunding", "refund failed"] {
        let refund_id = "re_1".to_owned();
        at(stage).when(&refunded()).then([Event::Refunded { charge: charge(), refund_id }]);
    }
}

// What goes wrong.

#[test]
fn a_declined_charge_fails_the_payment() {
    let failure = Failure::Declined { code: "insufficient_funds".to_owned() };
    at("charging").when(&declined()).then([Event::Failed { failure }]);
}

#[test]
fn a_charge_that_was_refused_for_sure_fails_the_payment() {
    at("charging").when(&REFUSED).then([unavailable()]);
}

#[test]
fn a_charge_in_doubt_fails_the_payment_and_is_resolved() {
    at("charging").when(&IN_DOUBT).then([unavailable(), resolve_due()]);
}

#[test]
fn a_charge_in_doubt_after_the_cancellation_is_resolved_without_a_word() {
    at("cancelling").when(&IN_DOUBT).then([resolve_due()]);
}

#[test]
fn what_is_found_charged_goes_back_whatever_it_is() {
    for charge in [charge(), wrong_charge()] {
        let found = Command::FoundCharged { charge: charge.clone() };
        at("unresolved").when(&found).then([Event::RefundDue { charge }]);
    }
}

#[test]
fn what_is_found_not_charged_has_failed() {
    at("unresolved").when(&Command::FoundNotCharged).then([Event::FoundUnpaid]);
}

#[test]
fn a_wrong_amount_or_currency_needs_a_review() {
    let dollars = Currency::parse("USD").unwrap();
    let other = Charge { id: "ch_1".to_owned(), amount: Money { minor: 4_200, currency: dollars } };
    for charge in [wrong_charge(), other] {
        let charged = Command::Charged { charge: charge.clone() };
        at("charging").when(&charged).then([Event::Mischarged { charge }]);
    }
}

#[test]
fn a_refund_that_was_given_up_needs_a_review() {
    for obstacle in [Obstacle::GaveUp, Obstacle::Disputed, Obstacle::ChargeUnknown] {
        let gave_up = Command::RefundGaveUp { obstacle };
        at("refunding").when(&gave_up).then([Event::RefundFailed { obstacle }]);
    }
}

#[test]
fn a_refund_that_failed_ends_when_a_person_says_that_the_money_went_back() {
    at("refund failed").when(&Command::Settle).then([Event::Settled { charge: charge() }]);
}

#[test]
fn a_doubt_that_no_list_settles_waits_for_a_person() {
    at("unresolved").when(&Command::NotListed).then([Event::DoubtRemains]);
}

#[test]
fn a_doubt_that_waits_for_a_person_is_looked_into_again_or_ended() {
    at("charge in doubt").when(&Command::Refund).then([resolve_due()]);
    at("charge in doubt").when(&Command::Settle).then([Event::FoundUnpaid]);
    at("charge in doubt").when(&Command::FoundNotCharged).then([Event::FoundUnpaid]);
}

#[test]
fn a_charge_that_turns_up_while_a_person_is_waited_for_goes_back() {
    for charge in [charge(), wrong_charge()] {
        let back = Event::RefundDue { charge: charge.clone() };
        let found = Command::FoundCharged { charge: charge.clone() };
        at("charge in doubt").when(&found).then([back.clone()]);
        at("charge in doubt").when(&Command::Charged { charge }).then([back]);
    }
}

#[test]
fn a_wrong_amount_that_is_accepted_is_paid() {
    let accepted = Event::Accepted { charge: wrong_charge(), amount: terms().amount };
    at("wrong amount").when(&Command::Accept).then([accepted]);
}

#[test]
fn a_wrong_amount_that_is_not_accepted_fails_the_payment_and_goes_back() {
    let back = Event::RefundDue { charge: wrong_charge() };
    at("wrong amount").when(&Command::Refund).then([unavailable(), back]);
}

#[test]
fn a_refund_that_failed_is_tried_again_when_told_to() {
    at("refund failed").when(&Command::Refund).then([refund_due()]);
}

#[test]
fn a_second_charge_under_one_key_is_refused() {
    let second = Charge { id: "ch_2".to_owned(), ..charge() };
    let charged = Command::Charged { charge: second.clone() };
    let found = Command::FoundCharged { charge: second };
    for stage in ["refunding", "refunded", "wrong amount", "refund failed"] {
        at(stage).when(&charged).then_rejected(Rejection::SecondCharge);
        at(stage).when(&found).then_rejected(Rejection::SecondCharge);
    }
    at("done").when(&charged).then_rejected(Rejection::SecondCharge);
}

#[test]
fn a_token_is_not_shown() {
    assert_eq!(format!("{:?}", Token::new("tok_visa")), "tok_****");
    assert_eq!(Token::new("4242424242424242").masked(), "****");
    assert_eq!(Token::new("4242424242424242_1").masked(), "****");
}

#[test]
fn a_currency_is_three_letters_in_upper_case() {
    assert_eq!(Currency::parse("eur").unwrap().as_str(), "EUR");
    for wrong in ["", "EU", "EURO", "E1R", "€"] {
        assert_eq!(Currency::parse(wrong), None, "{wrong}");
    }
}
