//! The names of the stages, for rows, pages and people.

use super::Payment;

/// The stage of a payment, without the data of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStage {
    /// The order is known; its stock is not held yet.
    AwaitingStock,
    /// The stock is held; the order has not been read yet.
    AwaitingOrder,
    /// The charge is on its way.
    Charging,
    /// The order was cancelled while the charge was being tried.
    Cancelling,
    /// It is not known yet whether the charge happened.
    Unresolved,
    Done,
    /// The money is on its way back.
    Refunding,
    Refunded,
    /// A person has to decide.
    NeedsReview,
    Failed,
    /// The order was cancelled and nothing was paid.
    Abandoned,
    /// The cancellation came first.
    Fenced,
}

impl PaymentStage {
    pub const ALL: [Self; 12] = [
        Self::AwaitingStock,
        Self::AwaitingOrder,
        Self::Charging,
        Self::Cancelling,
        Self::Unresolved,
        Self::Done,
        Self::Refunding,
        Self::Refunded,
        Self::NeedsReview,
        Self::Failed,
        Self::Abandoned,
        Self::Fenced,
    ];

    /// Its name in rows and answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::AwaitingStock => "awaiting-stock",
            Self::AwaitingOrder => "awaiting-order",
            Self::Charging => "charging",
            Self::Cancelling => "cancelling",
            Self::Unresolved => "unresolved",
            Self::Done => "done",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
            Self::NeedsReview => "needs-review",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Fenced => "fenced",
        }
    }

    /// The stage of this name.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.code() == code)
    }
}

impl Payment {
    /// The stage of the payment; `None` before the first message.
    pub fn stage(&self) -> Option<PaymentStage> {
        match self {
            Self::Unheard => None,
            Self::AwaitingStock { .. } => Some(PaymentStage::AwaitingStock),
            Self::AwaitingOrder => Some(PaymentStage::AwaitingOrder),
            Self::Charging { .. } => Some(PaymentStage::Charging),
            Self::Cancelling { .. } => Some(PaymentStage::Cancelling),
            Self::Unresolved { .. } => Some(PaymentStage::Unresolved),
            Self::Done { .. } => Some(PaymentStage::Done),
            Self::Refunding { .. } => Some(PaymentStage::Refunding),
            Self::Refunded { .. } => Some(PaymentStage::Refunded),
            Self::NeedsReview { .. } | Self::InDoubt { .. } => Some(PaymentStage::NeedsReview),
            Self::Failed { .. } => Some(PaymentStage::Failed),
            Self::Abandoned { .. } => Some(PaymentStage::Abandoned),
            Self::Fenced => Some(PaymentStage::Fenced),
        }
    }
}
