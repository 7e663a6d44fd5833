//! A client of the operators' API for dead letters.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use shared::{
    dead_letter::{LetterFilter, LetterSummary, Resolution},
    http::{LetterView, ReasonCounts},
};
use uuid::Uuid;

use crate::{
    http_client::retry_after,
    invocation,
    refusal::{explain, problem_of},
    service_client::ServiceClient,
    which_system::{AddressSource, ServiceAddress},
};

/// A service, seen by its operators: what its admin port answers.
#[derive(Clone, Debug)]
pub struct AdminClient(ServiceClient);

/// A page of letters, as it comes over HTTP.
#[derive(Debug, Deserialize)]
struct LetterPage {
    items: Vec<LetterSummary>,
    next_cursor: Option<String>,
}

/// An answer to a decision.
#[derive(Debug)]
pub enum DecisionAnswer {
    /// It was carried out.
    Carried(Resolution),
    /// To be asked again after a moment.
    Later(Duration),
    /// It was refused, for this reason.
    Refused(String),
}

/// Letters of one page.
const PAGE: usize = 200;

impl AdminClient {
    /// The service whose admin port is at this URL.
    pub fn at(http: reqwest::Client, url: &str) -> Self {
        let source = AddressSource::Named("--service");
        Self(ServiceClient::with(http, ServiceAddress::of(url.trim_end_matches('/'), url, source)))
    }

    /// The service behind this client.
    pub(super) fn new(client: ServiceClient) -> Self {
        Self(client)
    }

    /// The name of the service, or its address.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// How many letters there are of each topic and reason.
    pub async fn reasons(&self, filter: &LetterFilter) -> anyhow::Result<ReasonCounts> {
        self.0.read(self.0.get("dead-letters/reasons").query(filter)).await
    }

    /// Open letters, oldest first, at most `max`.
    pub async fn list(
        &self,
        filter: &LetterFilter,
        max: usize,
    ) -> anyhow::Result<Vec<LetterSummary>> {
        let mut letters = Vec::new();
        let mut cursor: Option<String> = None;
        while letters.len() < max {
            let limit = PAGE.min(max - letters.len());
            let request = self.0.get("dead-letters").query(filter).query(&[("limit", limit)]);
            let request = match &cursor {
                Some(cursor) => request.query(&[("cursor", cursor)]),
                None => request,
            };
            let page: LetterPage = self.0.read(request).await?;
            letters.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(letters)
    }

    /// All that is known of a letter; none if this service does not know it.
    pub async fn show(&self, id: Uuid) -> anyhow::Result<Option<LetterView>> {
        let response = self.0.send(self.0.get(&format!("dead-letters/{id}"))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.0.body(response).await.map(Some)
    }

    /// Redrives a letter, or discards it for this reason.
    pub async fn decide(
        &self,
        id: Uuid,
        by: &str,
        because: Option<&str>,
    ) -> anyhow::Result<DecisionAnswer> {
        let (deed, body) = match because {
            None => ("redrive", json!({ "by": by })),
            Some(reason) => ("discard", json!({ "by": by, "reason": reason })),
        };
        let request = self.0.post(&format!("dead-letters/{id}/{deed}")).json(&body);
        let response = self.0.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(DecisionAnswer::Carried(self.0.body(response).await?));
        }
        if let Some(wait) = retry_after(&response) {
            return Ok(DecisionAnswer::Later(wait));
        }
        Ok(DecisionAnswer::Refused(explain(status, &problem_of(response).await)))
    }
}

/// The first of these services that knows a letter, and all that it knows of it.
pub(super) async fn look_up(
    services: &[AdminClient],
    id: Uuid,
) -> anyhow::Result<(&AdminClient, LetterView)> {
    for service in services {
        if let Some(shown) = service.show(id).await.with_context(|| service.name().to_owned())? {
            return Ok((service, shown));
        }
    }
    let list = invocation::command("dead-letters list");
    anyhow::bail!(
        "no service that was asked knows the dead letter {id}: `{list}` shows the open ones"
    );
}
