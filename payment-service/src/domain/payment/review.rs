//! Why a payment waits for a person, and the stable names of the reasons: the same in rows, in
//! answers to operators and in messages.
//!
//! **Architecture invariant:** each reason is of one operation, and its name is never given to
//! another one.

use super::Payment;

/// Why a person has to decide about a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewReason {
    /// The gateway charged another amount than it was asked to.
    WrongAmount,
    /// The refund was given up.
    RefundFailed(RefundObstacle),
}

/// Why a refund is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundObstacle {
    /// The gateway could not be brought to answer, or to take the request at all.
    GaveUp,
    /// The customer's bank has taken the money back, or is about to.
    Disputed,
    /// The gateway does not know the charge.
    ChargeUnknown,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewedOperation {
    Charge,
    Refund,
}

impl ReviewedOperation {
    /// Its name in messages.
    pub fn code(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }
}

/// The name of the review of a payment of which no charge is known.
pub const CHARGE_IN_DOUBT: &str = "charge-in-doubt";

impl ReviewReason {
    pub const ALL: [Self; 4] = [
        Self::WrongAmount,
        Self::RefundFailed(RefundObstacle::GaveUp),
        Self::RefundFailed(RefundObstacle::Disputed),
        Self::RefundFailed(RefundObstacle::ChargeUnknown),
    ];

    /// Its name in rows, answers and messages.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongAmount => "wrong-amount",
            Self::RefundFailed(RefundObstacle::GaveUp) => "refund-failed",
            Self::RefundFailed(RefundObstacle::Disputed) => "charge-disputed",
            Self::RefundFailed(RefundObstacle::ChargeUnknown) => "charge-unknown",
        }
    }

    /// The review of a charge by its name.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl Payment {
    /// The name of the reason why a person has to decide.
    pub fn review_code(&self) -> Option<&'static str> {
        if matches!(self, Self::InDoubt { .. }) {
            return Some(CHARGE_IN_DOUBT);
        }
        self.review().map(ReviewReason::code)
    }
}
