//! What may be asked of an order's notifications, what happens to them, and why a command is refused.

use time::OffsetDateTime;

use super::{CustomerContact, NotificationCause, NotificationKind};

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationCommand {
    /// The order's placing was read.
    RecordContact {
        /// Who is to be told.
        addressee: CustomerContact,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// There is something to tell.
    Tell {
        /// What.
        occasion: NotificationCause,
        /// When it was read.
        at: OffsetDateTime,
    },
    /// A mail server took it.
    RecordSent {
        /// What was told.
        kind: NotificationKind,
        /// The mail's `Message-ID`.
        message_id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// It was given up.
    RecordGivenUp {
        /// What could not be told.
        kind: NotificationKind,
        /// Why; nothing personal.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// It is known who is told.
    ContactKnown {
        /// Who.
        addressee: CustomerContact,
    },
    /// There is something to tell, and nobody knows yet to whom.
    Deferred {
        /// What.
        occasion: NotificationCause,
    },
    /// There is something to tell, now.
    FellDue {
        /// What.
        occasion: NotificationCause,
        /// To whom.
        addressee: CustomerContact,
        /// Since when.
        at: OffsetDateTime,
    },
    /// It is not worth telling any more.
    Skipped {
        /// What.
        occasion: NotificationCause,
        /// Whether it was due before, so that there is somebody to be stopped.
        was_due: bool,
    },
    /// The customer was told.
    Sent {
        /// What.
        kind: NotificationKind,
        /// The mail's `Message-ID`.
        message_id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// The customer could not be told.
    Failed {
        /// What.
        kind: NotificationKind,
        /// Why; nothing personal.
        reason: String,
        /// When.
        at: OffsetDateTime,
    },
}

/// Why the answer is no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotificationRejection {
    /// A result came home of a mail that nobody was to send.
    #[error("the notice was never due")]
    NeverDue,
}
