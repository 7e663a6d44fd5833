//! The payload of a mail job, and the names of job and mail.

use serde::{Deserialize, Serialize};
use shared::{
    fault::Fault,
    jobs::{JobKey, NewJob},
    message::TraceContext,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::notification::NotificationKind;

pub use self::letter::MailText;
pub(super) use self::letter::one_line;

mod letter;

/// The kind of these jobs.
pub(super) const KIND: &str = "email";

/// The payload of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailMessage {
    /// The order that it is about.
    pub order_id: Uuid,
    /// Names the mail for good, without the brackets of the header.
    pub message_id: String,
    pub email: String,
    pub name: Option<String>,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub written_at: OffsetDateTime,
    pub letter: MailText,
}

/// A mail's name: the same for every copy, another for each mail.
pub(crate) fn message_id(order_id: Uuid, kind: NotificationKind, domain: &str) -> String {
    format!("{order_id}.{}.{KIND}@{domain}", kind.name())
}

/// The name of the job that sends this mail.
pub(crate) fn key(order_id: Uuid, kind: NotificationKind) -> JobKey {
    JobKey { kind: KIND, key: format!("{order_id}.{}", kind.name()) }
}

/// Parses the name of a job.
pub(super) fn read_key(key: &str) -> Option<(Uuid, NotificationKind)> {
    let (order_id, kind) = key.split_once('.')?;
    Some((Uuid::parse_str(order_id).ok()?, NotificationKind::from_name(kind)?))
}

/// The job that sends this mail.
pub(crate) fn job(
    kind: NotificationKind,
    mail: &EmailMessage,
    trace: Option<TraceContext>,
) -> Result<NewJob, Fault> {
    let payload = serde_json::to_value(mail).map_err(Fault::poison)?;
    Ok(NewJob { key: key(mail.order_id, kind), payload, trace })
}
