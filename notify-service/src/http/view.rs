//! Notices as the API shows them: no name, and only as much of the address as its owner needs to
//! recognise it.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::notification::{
    NotificationKind, NotificationStage, NotificationState, OrderNotifications,
};

/// What the customer of one order is told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Notifications)]
pub(super) struct CorrespondenceView {
    order_id: Uuid,
    /// Where mail goes, masked; absent until the order's placing has been heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "a***@example.org")]
    email: Option<String>,
    /// What there is to tell, at most one of each kind.
    notifications: Vec<NoticeView>,
}

/// Something that the customer is told once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Notification)]
struct NoticeView {
    /// `confirmed`, `cancelled` or `refunded`.
    #[schema(example = "confirmed")]
    kind: &'static str,
    /// How the customer is notified: `email`.
    #[schema(example = "email")]
    channel: &'static str,
    /// `waiting-for-contact`, `due`, `sent`, `failed` or `skipped`.
    #[schema(example = "sent")]
    stage: &'static str,
    /// Since when it is due, or when it was sent or given up.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    at: Option<OffsetDateTime>,
    /// The `Message-ID` of the mail that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl CorrespondenceView {
    pub(super) fn of(order_id: Uuid, correspondence: &OrderNotifications) -> Self {
        Self {
            order_id,
            email: correspondence
                .addressee
                .as_ref()
                .map(|customer_contact| masked(&customer_contact.email)),
            notifications: correspondence
                .notices
                .iter()
                .map(|(kind, notice)| NoticeView::of(*kind, notice))
                .collect(),
        }
    }
}

impl NoticeView {
    fn of(kind: NotificationKind, notice: &NotificationState) -> Self {
        let (at, message_id, failure) = match &notice.stage {
            NotificationStage::WaitingForContact | NotificationStage::Skipped => (None, None, None),
            NotificationStage::Due { since } => (Some(*since), None, None),
            NotificationStage::Sent { message_id, at } => {
                (Some(*at), Some(message_id.clone()), None)
            }
            NotificationStage::Failed { reason, at } => (Some(*at), None, Some(reason.clone())),
        };
        let stage = notice.stage.name();
        Self { kind: kind.name(), channel: "email", stage, at, message_id, failure }
    }
}

/// An address with the part between its first letter and its domain masked.
fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let first = local.chars().next().map(String::from).unwrap_or_default();
    format!("{first}***@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked() {
        for (email, shown) in [
            ("ada@example.org", "a***@example.org"),
            ("ł@example.org", "ł***@example.org"),
            ("\"a@b\"@example.org", "\"***@example.org"),
            ("nonsense", "n***@"),
            ("", "***@"),
        ] {
            assert_eq!(masked(email), shown);
        }
    }
}
