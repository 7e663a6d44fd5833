//! Commands, events and rejections of an order's notifications.

use time::OffsetDateTime;

use super::{CustomerContact, NotificationCause, NotificationKind};

/// A command for an order's notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationCommand {
    /// The order's placing was read.
    RecordContact {
        addressee: CustomerContact,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// There is something to tell.
    Tell {
        occasion: NotificationCause,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// A mail server took it.
    RecordSent { kind: NotificationKind, message_id: String, at: OffsetDateTime },
    /// The mail was given up.
    RecordGivenUp {
        /// The occasion of the failed notice.
        kind: NotificationKind,
        reason: String,
        at: OffsetDateTime,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// The recipient is known.
    ContactKnown { addressee: CustomerContact },
    /// A notice is needed, but its recipient is not known yet.
    Deferred { occasion: NotificationCause },
    /// A notice is due.
    FellDue { occasion: NotificationCause, addressee: CustomerContact, at: OffsetDateTime },
    /// The notice is obsolete.
    Skipped {
        occasion: NotificationCause,
        /// Whether the notice was due before, so that there is a job to stop.
        was_due: bool,
    },
    /// The customer was told.
    Sent { kind: NotificationKind, message_id: String, at: OffsetDateTime },
    /// The customer could not be told.
    Failed { kind: NotificationKind, reason: String, at: OffsetDateTime },
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotificationRejection {
    /// A result of a mail that was not to be sent.
    #[error("the notice was never due")]
    NeverDue,
}
