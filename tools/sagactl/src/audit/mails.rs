//! The mail sink: each mail, by its Message-ID, as a fact about its order.
//!
//! A sink keeps the newest mails only, so what was sent before the oldest that it has is not looked for.
//! A mail that was handed over twice has the same Message-ID twice, and counts as one: mail servers and
//! readers know it as a copy. Mails of other systems are passed over.
//!
//! **Bound:** one page of mails.

use reqwest::Url;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    fact::{FactStatement, NOTICE_KINDS, OrderFact},
    gateway::get,
};

/// Mails that are asked for at once.
const PAGE_MAX: usize = 1_000;

/// A sink that has fewer mails has dropped none.
const KEPT_MIN: usize = 100;

#[derive(Deserialize)]
struct MailPage {
    messages: Vec<MailBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MailBody {
    #[serde(rename = "MessageID")]
    message_id: String,
    created: String,
}

/// All mails, the newest first; answers since when mails are kept, if older ones may be gone.
pub(super) async fn read(
    http: &reqwest::Client,
    base: &Url,
    mut take: impl FnMut(OrderFact) -> anyhow::Result<()>,
) -> anyhow::Result<Option<OffsetDateTime>> {
    let (mut start, mut oldest) = (0, None);
    loop {
        let mut url = base.join("api/v1/messages")?;
        url.query_pairs_mut()
            .append_pair("limit", &PAGE_MAX.to_string())
            .append_pair("start", &start.to_string());
        let page: MailPage = get(http, url).await?;
        for mail in &page.messages {
            if let Some((order_id, kind)) = read_message_id(&mail.message_id) {
                take(OrderFact::new(order_id, FactStatement::Mail { kind }))?;
            }
            let created = OffsetDateTime::parse(&mail.created, &Rfc3339).ok();
            oldest = oldest.min(created).or(created);
        }
        start += page.messages.len();
        // A page may be shorter than was asked for.
        if page.messages.is_empty() {
            return Ok(oldest.filter(|_| start >= KEPT_MIN));
        }
    }
}

/// The order and the kind that a Message-ID of notify-service names: `ORDER.KIND.email@DOMAIN`.
fn read_message_id(message_id: &str) -> Option<(Uuid, &'static str)> {
    let (name, _domain) = message_id.split_once('@')?;
    let mut parts = name.split('.');
    let (order, kind, channel) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = NOTICE_KINDS.into_iter().find(|known| *known == kind)?;
    (channel == "email" && parts.next().is_none()).then_some(())?;
    Some((order.parse().ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_names_order_and_kind_and_those_of_others_name_nothing() {
        let ours = "00000000-0000-0000-0000-000000000007.confirmed.email@shop.example";
        assert_eq!(read_message_id(ours), Some((Uuid::from_u128(7), "confirmed")));
        for other in ["x@y", "", "a.confirmed.email@b", &ours.replace("email", "sms")] {
            assert_eq!(read_message_id(other), None, "{other}");
        }
    }
}
