//! The mailbox of a customer, at the real mail server.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::Order;

/// The mails as the real mail server lists them.
pub(crate) struct Mailbox {
    api: String,
    http: reqwest::Client,
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let api = devstack::shared().await.urls().mail_api.clone();
        Self { api, http: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.api);
        self.http.get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// The mails to an order's customer, oldest first.
    pub(crate) async fn mails(&self, order: &Order) -> Vec<Mail> {
        let query = format!("/api/v1/search?query=to:{}", order.email);
        let found: Value = serde_json::from_str(&self.get(&query).await).unwrap();
        let mut mails = Vec::new();
        for summary in found["messages"].as_array().unwrap().iter().rev() {
            let id = summary["ID"].as_str().unwrap();
            let message = self.get(&format!("/api/v1/message/{id}")).await;
            let raw = self.get(&format!("/api/v1/message/{id}/raw")).await;
            mails.push(Mail { message: serde_json::from_str(&message).unwrap(), raw });
        }
        mails
    }
}

/// A mail as it lies in the mailbox.
#[derive(Debug)]
pub(crate) struct Mail {
    message: Value,
    pub(crate) raw: String,
}

impl Mail {
    pub(crate) fn text(&self, part: &str) -> &str {
        self.message[part].as_str().unwrap()
    }

    pub(crate) fn message_id(&self) -> &str {
        self.text("MessageID")
    }

    /// The first recipient: name and address.
    pub(crate) fn to(&self) -> (&str, &str) {
        let to = &self.message["To"][0];
        (to["Name"].as_str().unwrap(), to["Address"].as_str().unwrap())
    }

    pub(crate) fn recipients(&self) -> usize {
        let n = |field: &str| self.message[field].as_array().map_or(0, Vec::len);
        n("To") + n("Cc") + n("Bcc")
    }

    pub(crate) fn date(&self) -> OffsetDateTime {
        OffsetDateTime::parse(self.text("Date"), &Rfc3339).unwrap()
    }

    /// The mail as handed over, without the headers that the mail server added.
    pub(crate) fn as_sent(&self) -> &str {
        let begin = self.raw.find("From: ").unwrap();
        &self.raw[begin..]
    }
}
