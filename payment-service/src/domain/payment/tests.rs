//! The rows of the table where something happens, each by its name; [`table`] holds the whole.

use shared::decider::{self, GivenState, given};

use super::*;

mod table;

pub(super) fn euros(minor: i64) -> Money {
    Money { minor, currency: Currency::parse("EUR").unwrap() }
}

pub(super) fn terms() -> PaymentTerms {
    PaymentTerms { amount: euros(4_200), method: PaymentToken::new("tok_visa") }
}

pub(super) fn charge() -> GatewayCharge {
    GatewayCharge { id: "ch_1".to_owned(), amount: euros(4_200) }
}

pub(super) fn wrong_charge() -> GatewayCharge {
    GatewayCharge { id: "ch_1".to_owned(), amount: euros(4_201) }
}

const CANCELLED: PaymentCommand = PaymentCommand::OrderCancelled { charge_untouched: false };
const CANCELLED_UNTOUCHED: PaymentCommand =
    PaymentCommand::OrderCancelled { charge_untouched: true };
const REFUSED: PaymentCommand = PaymentCommand::GaveUp { in_doubt: false };
const IN_DOUBT: PaymentCommand = PaymentCommand::GaveUp { in_doubt: true };

pub(super) fn placed() -> PaymentCommand {
    PaymentCommand::OrderPlaced { terms: terms() }
}

fn declined() -> PaymentCommand {
    PaymentCommand::Declined { code: "insufficient_funds".to_owned() }
}

const GAVE_UP: PaymentCommand = PaymentCommand::RefundGaveUp { obstacle: RefundObstacle::GaveUp };

fn free_terms() -> PaymentTerms {
    PaymentTerms { amount: euros(0), method: PaymentToken::new("tok_visa") }
}

fn free_placed() -> PaymentCommand {
    PaymentCommand::OrderPlaced { terms: free_terms() }
}

fn refunded() -> PaymentCommand {
    PaymentCommand::Refunded { refund_id: "re_1".to_owned() }
}

fn unavailable() -> PaymentEvent {
    PaymentEvent::Failed { failure: PaymentFailure::Unavailable }
}

fn refund_due() -> PaymentEvent {
    PaymentEvent::RefundDue { charge: charge() }
}

fn resolve_due() -> PaymentEvent {
    PaymentEvent::ResolveDue { terms: terms() }
}

/// The history that leads to each stage, by its name.
fn history(stage: &str) -> Vec<PaymentEvent> {
    let charging = || {
        vec![PaymentEvent::Awaited { terms: terms() }, PaymentEvent::ChargeDue { terms: terms() }]
    };
    let after = |mut before: Vec<PaymentEvent>, more: Vec<PaymentEvent>| {
        before.extend(more);
        before
    };
    let done = || after(charging(), vec![PaymentEvent::Paid { charge: charge() }]);
    let refunding = || after(done(), vec![refund_due()]);
    match stage {
        "unheard" => vec![],
        "awaiting stock" => vec![PaymentEvent::Awaited { terms: terms() }],
        "free awaiting stock" => vec![PaymentEvent::Awaited { terms: free_terms() }],
        "free done" => {
            vec![
                PaymentEvent::Awaited { terms: free_terms() },
                PaymentEvent::Free { terms: free_terms() },
            ]
        }
        "awaiting order" => vec![PaymentEvent::StockHeld],
        "charging" => charging(),
        "cancelling" => after(charging(), vec![PaymentEvent::Recalled]),
        "unresolved" => after(charging(), vec![unavailable(), resolve_due()]),
        "done" => done(),
        "refunding" => refunding(),
        "refunded" => {
            let refund_id = "re_1".to_owned();
            after(refunding(), vec![PaymentEvent::Refunded { charge: charge(), refund_id }])
        }
        "wrong amount" => {
            after(charging(), vec![PaymentEvent::Mischarged { charge: wrong_charge() }])
        }
        "refund failed" => after(
            refunding(),
            vec![PaymentEvent::RefundFailed { obstacle: RefundObstacle::GaveUp }],
        ),
        "charge in doubt" => {
            after(charging(), vec![unavailable(), resolve_due(), PaymentEvent::DoubtRemains])
        }
        "failed" => after(charging(), vec![unavailable()]),
        "abandoned" => vec![PaymentEvent::Awaited { terms: terms() }, PaymentEvent::Abandoned],
        "fenced" => vec![PaymentEvent::Fenced],
        _ => panic!("no stage is called {stage}"),
    }
}

fn at(stage: &str) -> GivenState<Payment> {
    given(history(stage))
}

// The way forward.

#[test]
fn an_order_waits_for_its_stock() {
    at("unheard").when(&placed()).then([PaymentEvent::Awaited { terms: terms() }]);
}

#[test]
fn stock_that_is_held_before_the_order_is_read_waits_for_it() {
    at("unheard").when(&PaymentCommand::StockReserved).then([PaymentEvent::StockHeld]);
}

#[test]
fn the_charge_is_due_once_the_stock_is_held() {
    let due = PaymentEvent::ChargeDue { terms: terms() };
    at("awaiting stock").when(&PaymentCommand::StockReserved).then([due]);
}

#[test]
fn the_charge_is_due_once_the_order_is_read_last() {
    at("awaiting order").when(&placed()).then([PaymentEvent::ChargeDue { terms: terms() }]);
}

#[test]
fn an_order_that_costs_nothing_is_done_without_a_charge() {
    let free = PaymentEvent::Free { terms: free_terms() };
    at("free awaiting stock").when(&PaymentCommand::StockReserved).then([free.clone()]);
    at("awaiting order").when(&free_placed()).then([free]);
}

#[test]
fn the_right_amount_is_paid() {
    let charged = PaymentCommand::Charged { charge: charge() };
    at("charging").when(&charged).then([PaymentEvent::Paid { charge: charge() }]);
}

// The way back.

#[test]
fn a_cancellation_that_comes_first_is_a_fence() {
    at("unheard").when(&CANCELLED).then([PaymentEvent::Fenced]);
    at("unheard").when(&CANCELLED_UNTOUCHED).then([PaymentEvent::Fenced]);
}

#[test]
fn a_cancellation_before_the_charge_is_due_ends_the_payment() {
    for stage in ["awaiting stock", "awaiting order"] {
        at(stage).when(&CANCELLED).then([PaymentEvent::Abandoned]);
        at(stage).when(&CANCELLED_UNTOUCHED).then([PaymentEvent::Abandoned]);
    }
}

#[test]
fn a_cancellation_before_the_charge_was_tried_stops_it() {
    at("charging").when(&CANCELLED_UNTOUCHED).then([PaymentEvent::ChargeStopped]);
}

#[test]
fn a_cancellation_while_the_charge_is_tried_waits_for_its_outcome() {
    at("charging").when(&CANCELLED).then([PaymentEvent::Recalled]);
}

#[test]
fn what_is_charged_after_the_cancellation_goes_back_whatever_it_is() {
    for charge in [charge(), wrong_charge()] {
        let charged = PaymentCommand::Charged { charge: charge.clone() };
        at("cancelling").when(&charged).then([PaymentEvent::RefundDue { charge }]);
    }
}

#[test]
fn what_is_not_charged_after_the_cancellation_is_abandoned() {
    at("cancelling").when(&declined()).then([PaymentEvent::Abandoned]);
    at("cancelling").when(&REFUSED).then([PaymentEvent::Abandoned]);
}

#[test]
fn what_was_paid_for_a_cancelled_order_goes_back() {
    for cancelled in [CANCELLED, CANCELLED_UNTOUCHED] {
        at("done").when(&cancelled).then([refund_due()]);
        let wrong = PaymentEvent::RefundDue { charge: wrong_charge() };
        at("wrong amount").when(&cancelled).then([wrong]);
    }
}

#[test]
fn an_order_that_cost_nothing_gets_nothing_back() {
    at("free done").when(&CANCELLED).then([PaymentEvent::Abandoned]);
    at("free done").when(&CANCELLED_UNTOUCHED).then([PaymentEvent::Abandoned]);
}

#[test]
fn a_refund_is_the_end() {
    for stage in ["refunding", "refund failed"] {
        let refund_id = "re_1".to_owned();
        at(stage).when(&refunded()).then([PaymentEvent::Refunded { charge: charge(), refund_id }]);
    }
}

// Failures.

#[test]
fn a_declined_charge_fails_the_payment() {
    let failure = PaymentFailure::Declined { code: "insufficient_funds".to_owned() };
    at("charging").when(&declined()).then([PaymentEvent::Failed { failure }]);
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
        let found = PaymentCommand::FoundCharged { charge: charge.clone() };
        at("unresolved").when(&found).then([PaymentEvent::RefundDue { charge }]);
    }
}

#[test]
fn what_is_found_not_charged_has_failed() {
    at("unresolved").when(&PaymentCommand::FoundNotCharged).then([PaymentEvent::FoundUnpaid]);
}

#[test]
fn a_wrong_amount_or_currency_needs_a_review() {
    let dollars = Currency::parse("USD").unwrap();
    let other =
        GatewayCharge { id: "ch_1".to_owned(), amount: Money { minor: 4_200, currency: dollars } };
    for charge in [wrong_charge(), other] {
        let charged = PaymentCommand::Charged { charge: charge.clone() };
        at("charging").when(&charged).then([PaymentEvent::Mischarged { charge }]);
    }
}

#[test]
fn a_refund_that_was_given_up_needs_a_review() {
    for obstacle in
        [RefundObstacle::GaveUp, RefundObstacle::Disputed, RefundObstacle::ChargeUnknown]
    {
        let gave_up = PaymentCommand::RefundGaveUp { obstacle };
        at("refunding").when(&gave_up).then([PaymentEvent::RefundFailed { obstacle }]);
    }
}

#[test]
fn each_review_says_what_waits_and_why() {
    let told =
        |event: PaymentEvent| event.review().map(|(operation, reason)| (operation.code(), reason));
    let charge = wrong_charge();
    assert_eq!(told(PaymentEvent::Mischarged { charge }), Some(("charge", "wrong-amount")));
    assert_eq!(told(PaymentEvent::DoubtRemains), Some(("charge", "charge-in-doubt")));
    for (obstacle, reason) in [
        (RefundObstacle::GaveUp, "refund-failed"),
        (RefundObstacle::Disputed, "charge-disputed"),
        (RefundObstacle::ChargeUnknown, "charge-unknown"),
    ] {
        let failed = PaymentEvent::RefundFailed { obstacle };
        assert_eq!(told(failed), Some(("refund", reason)));
    }
}

#[test]
fn the_name_of_a_review_is_the_same_for_the_operator_and_for_the_order() {
    for stage in ["wrong amount", "refund failed", "charge in doubt"] {
        let events = history(stage);
        let told = events.last().and_then(PaymentEvent::review).map(|(_, reason)| reason);
        assert_eq!(told, decider::replay::<Payment>(&events).review_code(), "{stage}");
    }
    for reason in ReviewReason::ALL {
        assert_eq!(ReviewReason::parse(reason.code()), Some(reason));
    }
}

#[test]
fn a_refund_that_failed_ends_when_a_person_says_that_the_money_went_back() {
    at("refund failed")
        .when(&PaymentCommand::Settle)
        .then([PaymentEvent::Settled { charge: charge() }]);
}

#[test]
fn a_doubt_that_no_list_settles_waits_for_a_person() {
    at("unresolved").when(&PaymentCommand::NotListed).then([PaymentEvent::DoubtRemains]);
}

#[test]
fn a_doubt_that_waits_for_a_person_is_looked_into_again_or_ended() {
    at("charge in doubt").when(&PaymentCommand::Refund).then([resolve_due()]);
    at("charge in doubt").when(&PaymentCommand::Settle).then([PaymentEvent::FoundUnpaid]);
    at("charge in doubt").when(&PaymentCommand::FoundNotCharged).then([PaymentEvent::FoundUnpaid]);
}

#[test]
fn a_charge_that_turns_up_while_a_person_is_waited_for_goes_back() {
    for charge in [charge(), wrong_charge()] {
        let back = PaymentEvent::RefundDue { charge: charge.clone() };
        let found = PaymentCommand::FoundCharged { charge: charge.clone() };
        at("charge in doubt").when(&found).then([back.clone()]);
        at("charge in doubt").when(&PaymentCommand::Charged { charge }).then([back]);
    }
}

#[test]
fn a_wrong_amount_that_is_accepted_is_paid() {
    let accepted = PaymentEvent::Accepted { charge: wrong_charge(), amount: terms().amount };
    at("wrong amount").when(&PaymentCommand::Accept).then([accepted]);
}

#[test]
fn a_wrong_amount_that_is_not_accepted_fails_the_payment_and_goes_back() {
    let back = PaymentEvent::RefundDue { charge: wrong_charge() };
    at("wrong amount").when(&PaymentCommand::Refund).then([unavailable(), back]);
}

#[test]
fn a_refund_that_failed_is_tried_again_when_told_to() {
    at("refund failed").when(&PaymentCommand::Refund).then([refund_due()]);
}

#[test]
fn a_second_charge_under_one_key_is_refused() {
    let second = GatewayCharge { id: "ch_2".to_owned(), ..charge() };
    let charged = PaymentCommand::Charged { charge: second.clone() };
    let found = PaymentCommand::FoundCharged { charge: second };
    for stage in ["refunding", "refunded", "wrong amount", "refund failed"] {
        at(stage).when(&charged).then_rejected(PaymentRejection::SecondCharge);
        at(stage).when(&found).then_rejected(PaymentRejection::SecondCharge);
    }
    at("done").when(&charged).then_rejected(PaymentRejection::SecondCharge);
}

#[test]
fn a_token_is_not_shown() {
    assert_eq!(format!("{:?}", PaymentToken::new("tok_visa")), "tok_****");
    assert_eq!(PaymentToken::new("4242424242424242").masked(), "****");
    assert_eq!(PaymentToken::new("4242424242424242_1").masked(), "****");
}

#[test]
fn a_currency_is_three_letters_in_upper_case() {
    assert_eq!(Currency::parse("eur").unwrap().as_str(), "EUR");
    for wrong in ["", "EU", "EURO", "E1R", "€"] {
        assert_eq!(Currency::parse(wrong), None, "{wrong}");
    }
}
