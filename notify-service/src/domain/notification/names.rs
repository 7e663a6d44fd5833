//! The names of kinds, reasons and stages, as they are written in rows, messages and answers.

use super::{CancelReason, NotificationKind, NotificationStage};

impl NotificationKind {
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Cancelled, Self::Refunded];

    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl CancelReason {
    /// All reasons that have a name.
    pub const ALL: [Self; 6] = [
        Self::OutOfStock,
        Self::PaymentDeclined,
        Self::PaymentUnavailable,
        Self::TimedOut,
        Self::Requested,
        Self::Other,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfStock => "out-of-stock",
            Self::PaymentDeclined => "payment-declined",
            Self::PaymentUnavailable => "payment-unavailable",
            Self::TimedOut => "timed-out",
            Self::Requested => "requested",
            Self::Other => "other",
        }
    }

    /// The reason of that name. An unknown reason of a later version still leads to a notice.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Other)
    }
}

impl NotificationStage {
    pub fn name(&self) -> &'static str {
        match self {
            Self::WaitingForContact => "waiting-for-contact",
            Self::Due { .. } => "due",
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for kind in NotificationKind::ALL {
            assert_eq!(NotificationKind::from_name(kind.name()), Some(kind));
        }
        for reason in CancelReason::ALL {
            assert_eq!(CancelReason::from_name(reason.name()), reason);
        }
    }

    #[test]
    fn a_reason_that_nobody_knows_yet_is_no_error() {
        assert_eq!(CancelReason::from_name("eaten-by-the-dog"), CancelReason::Other);
        assert_eq!(NotificationKind::from_name("eaten-by-the-dog"), None);
    }
}
