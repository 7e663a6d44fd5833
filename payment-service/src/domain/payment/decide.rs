//! The transition table: one function per command; each function matches every stage.

use super::{
    GatewayCharge, Payment as P, PaymentEvent, PaymentFailure, PaymentRejection, PaymentTerms,
    RefundObstacle, ReviewReason,
};

type Decision = Result<Vec<PaymentEvent>, PaymentRejection>;

pub(super) fn order_placed(payment: &P, terms: &PaymentTerms) -> Vec<PaymentEvent> {
    match payment {
        P::Unheard => vec![PaymentEvent::Awaited { terms: terms.clone() }],
        P::AwaitingOrder => vec![due(terms)],
        // Repeats, and what comes after the cancellation.
        P::AwaitingStock { .. }
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => vec![],
    }
}

pub(super) fn stock_reserved(payment: &P) -> Vec<PaymentEvent> {
    match payment {
        P::Unheard => vec![PaymentEvent::StockHeld],
        P::AwaitingStock { terms } => vec![due(terms)],
        // Repeats, and what comes after the cancellation.
        P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => vec![],
    }
}

pub(super) fn order_cancelled(payment: &P, charge_untouched: bool) -> Vec<PaymentEvent> {
    match payment {
        P::Unheard => vec![PaymentEvent::Fenced],
        P::AwaitingStock { .. } | P::AwaitingOrder => vec![PaymentEvent::Abandoned],
        P::Charging { .. } if charge_untouched => vec![PaymentEvent::ChargeStopped],
        P::Charging { .. } => vec![PaymentEvent::Recalled],
        P::Done { charge, .. } if charge.is_nothing() => vec![PaymentEvent::Abandoned],
        // The paid amount is refunded, so it no longer matters whether the amount was right.
        P::Done { charge, .. }
        | P::NeedsReview { charge, review: ReviewReason::WrongAmount, .. } => {
            vec![PaymentEvent::RefundDue { charge: charge.clone() }]
        }
        // Already being refunded, or nothing was paid.
        P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { review: ReviewReason::RefundFailed(_), .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => vec![],
    }
}

pub(super) fn charged(payment: &P, charge: &GatewayCharge) -> Decision {
    match payment {
        P::Charging { terms } if charge.amount == terms.amount => {
            Ok(vec![PaymentEvent::Paid { charge: charge.clone() }])
        }
        P::Charging { .. } => Ok(vec![PaymentEvent::Mischarged { charge: charge.clone() }]),
        P::Cancelling { .. } | P::InDoubt { .. } => {
            Ok(vec![PaymentEvent::RefundDue { charge: charge.clone() }])
        }
        // The resolve job finds the same.
        P::Unresolved { .. } => Ok(vec![]),
        P::Done { charge: known, .. }
        | P::Refunding { charge: known, .. }
        | P::Refunded { charge: known, .. }
        | P::NeedsReview { charge: known, .. } => repeat_of(known, charge),
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn declined(payment: &P, code: &str) -> Decision {
    match payment {
        P::Charging { .. } => Ok(vec![PaymentEvent::Failed {
            failure: PaymentFailure::Declined { code: code.to_owned() },
        }]),
        P::Cancelling { .. } => Ok(vec![PaymentEvent::Abandoned]),
        // The resolve job finds the same; and repeats.
        P::Unresolved { .. } | P::InDoubt { .. } | P::Failed { .. } | P::Abandoned { .. } => {
            Ok(vec![])
        }
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn gave_up(payment: &P, in_doubt: bool) -> Decision {
    let failed = PaymentEvent::Failed { failure: PaymentFailure::Unavailable };
    match (payment, in_doubt) {
        (P::Charging { .. }, false) => Ok(vec![failed]),
        (P::Charging { terms }, true) => {
            Ok(vec![failed, PaymentEvent::ResolveDue { terms: terms.clone() }])
        }
        (P::Cancelling { .. }, false) => Ok(vec![PaymentEvent::Abandoned]),
        (P::Cancelling { terms }, true) => {
            Ok(vec![PaymentEvent::ResolveDue { terms: terms.clone() }])
        }
        // Repeats.
        (P::Unresolved { .. } | P::InDoubt { .. } | P::Failed { .. } | P::Abandoned { .. }, _) => {
            Ok(vec![])
        }
        (
            P::Unheard
            | P::AwaitingStock { .. }
            | P::AwaitingOrder
            | P::Done { .. }
            | P::Refunding { .. }
            | P::Refunded { .. }
            | P::NeedsReview { .. }
            | P::Fenced,
            _,
        ) => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn found_charged(payment: &P, charge: &GatewayCharge) -> Decision {
    match payment {
        P::Unresolved { .. } | P::InDoubt { .. } => {
            Ok(vec![PaymentEvent::RefundDue { charge: charge.clone() }])
        }
        P::Refunding { charge: known, .. }
        | P::Refunded { charge: known, .. }
        | P::NeedsReview { charge: known, .. } => repeat_of(known, charge),
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Done { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn found_not_charged(payment: &P) -> Decision {
    match payment {
        P::Unresolved { .. } | P::InDoubt { .. } => Ok(vec![PaymentEvent::FoundUnpaid]),
        P::Failed { .. } => Ok(vec![]),
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn not_listed(payment: &P) -> Decision {
    match payment {
        P::Unresolved { .. } => Ok(vec![PaymentEvent::DoubtRemains]),
        P::InDoubt { .. } | P::Failed { .. } => Ok(vec![]),
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::NeedsReview { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn refunded(payment: &P, refund_id: &str) -> Decision {
    match payment {
        P::Refunding { charge, .. }
        | P::NeedsReview { charge, review: ReviewReason::RefundFailed(_), .. } => {
            Ok(vec![PaymentEvent::Refunded {
                charge: charge.clone(),
                refund_id: refund_id.to_owned(),
            }])
        }
        P::Refunded { .. } => Ok(vec![]),
        P::NeedsReview { review: ReviewReason::WrongAmount, .. }
        | P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Done { .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn refund_gave_up(payment: &P, obstacle: RefundObstacle) -> Decision {
    match payment {
        P::Refunding { .. } => Ok(vec![PaymentEvent::RefundFailed { obstacle }]),
        P::Refunded { .. } | P::NeedsReview { review: ReviewReason::RefundFailed(_), .. } => {
            Ok(vec![])
        }
        P::NeedsReview { review: ReviewReason::WrongAmount, .. }
        | P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Done { .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::OutOfTurn),
    }
}

pub(super) fn accept(payment: &P) -> Decision {
    match payment {
        P::NeedsReview { terms, charge, review: ReviewReason::WrongAmount } => {
            Ok(vec![PaymentEvent::Accepted {
                charge: charge.clone(),
                amount: terms.amount.clone(),
            }])
        }
        P::Done { .. } => Ok(vec![]),
        P::NeedsReview { review: ReviewReason::RefundFailed(_), .. }
        | P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Refunding { .. }
        | P::Refunded { .. }
        | P::InDoubt { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::NotUnderReview),
    }
}

pub(super) fn refund(payment: &P) -> Decision {
    match payment {
        // The order still waits for a result: it is notified that it is not paid for.
        P::NeedsReview { charge, review: ReviewReason::WrongAmount, .. } => Ok(vec![
            PaymentEvent::Failed { failure: PaymentFailure::Unavailable },
            PaymentEvent::RefundDue { charge: charge.clone() },
        ]),
        P::NeedsReview { charge, review: ReviewReason::RefundFailed(_), .. } => {
            Ok(vec![PaymentEvent::RefundDue { charge: charge.clone() }])
        }
        P::InDoubt { terms } => Ok(vec![PaymentEvent::ResolveDue { terms: terms.clone() }]),
        P::Refunding { .. } | P::Refunded { .. } | P::Unresolved { .. } => Ok(vec![]),
        P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Done { .. }
        | P::Failed { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::NotUnderReview),
    }
}

pub(super) fn settle(payment: &P) -> Decision {
    match payment {
        P::NeedsReview { charge, review: ReviewReason::RefundFailed(_), .. } => {
            Ok(vec![PaymentEvent::Settled { charge: charge.clone() }])
        }
        P::InDoubt { .. } => Ok(vec![PaymentEvent::FoundUnpaid]),
        P::Refunded { .. } | P::Failed { .. } => Ok(vec![]),
        P::NeedsReview { review: ReviewReason::WrongAmount, .. }
        | P::Unheard
        | P::AwaitingStock { .. }
        | P::AwaitingOrder
        | P::Charging { .. }
        | P::Cancelling { .. }
        | P::Unresolved { .. }
        | P::Done { .. }
        | P::Refunding { .. }
        | P::Abandoned { .. }
        | P::Fenced => Err(PaymentRejection::NotUnderReview),
    }
}

/// The events once order and stock are known.
fn due(terms: &PaymentTerms) -> PaymentEvent {
    let terms = terms.clone();
    if terms.are_free() { PaymentEvent::Free { terms } } else { PaymentEvent::ChargeDue { terms } }
}

/// A charge with a known id is a repeat; a second charge violates the gateway's guarantee.
fn repeat_of(known: &GatewayCharge, charge: &GatewayCharge) -> Decision {
    if known.id == charge.id { Ok(vec![]) } else { Err(PaymentRejection::SecondCharge) }
}
