//! A client of the operators' API for dead letters.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::{
    dead_letter::{LetterFilter, LetterSummary, Resolution},
    http::{LetterView, ReasonCounts},
    visible_text::visible,
};
use uuid::Uuid;

use crate::http_client::retry_after;

/// A service, seen by its operators.
#[derive(Clone, Debug)]
pub struct AdminClient {
    /// Its name, or its address.
    pub name: String,
    /// The URL of its admin port.
    pub base: String,
    pub http: reqwest::Client,
}

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
    /// How many letters there are of each topic and reason.
    pub async fn reasons(&self, filter: &LetterFilter) -> anyhow::Result<ReasonCounts> {
        let request = self.http.get(format!("{}/dead-letters/reasons", self.base)).query(filter);
        read(request).await
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
            let request = self.http.get(format!("{}/dead-letters", self.base)).query(filter);
            let request = request.query(&[("limit", limit)]);
            let page: LetterPage = read(match &cursor {
                Some(cursor) => request.query(&[("cursor", cursor)]),
                None => request,
            })
            .await?;
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
        let response = self.http.get(format!("{}/dead-letters/{id}", self.base)).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(response.error_for_status()?.json().await.context("an unreadable letter")?))
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
        let url = format!("{}/dead-letters/{id}/{deed}", self.base);
        let response = self.http.post(url).json(&body).send().await?;
        let status = response.status();
        if status.is_success() {
            let carried = response.json().await.context("an unreadable answer")?;
            return Ok(DecisionAnswer::Carried(carried));
        }
        if let Some(wait) = retry_after(&response) {
            return Ok(DecisionAnswer::Later(wait));
        }
        let problem: Value = response.json().await.unwrap_or_default();
        Ok(DecisionAnswer::Refused(explain(status, &problem)))
    }
}

/// The first of these services that knows a letter, and all that it knows of it.
pub(super) async fn look_up(
    services: &[AdminClient],
    id: Uuid,
) -> anyhow::Result<(&AdminClient, LetterView)> {
    for service in services {
        if let Some(shown) = service.show(id).await.with_context(|| service.name.clone())? {
            return Ok((service, shown));
        }
    }
    anyhow::bail!("no service that was asked knows {id}");
}

/// A problem in one line, whatever is in it.
fn explain(status: StatusCode, problem: &Value) -> String {
    let text = |value: &Value, name: &str| Some(visible(value.get(name)?.as_str()?).into_owned());
    let title = text(problem, "title").unwrap_or_else(|| status.to_string());
    let errors = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let errors = errors.iter().filter_map(|value| {
        Some(format!("{} {}", text(value, "pointer")?, text(value, "detail")?))
    });
    // The detail names the parts already, where there are any.
    let detail = text(problem, "detail").unwrap_or_else(|| errors.collect::<Vec<_>>().join("; "));
    if detail.is_empty() { title } else { format!("{title}: {detail}") }
}

async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<T> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.context("an unreadable answer");
    }
    let problem: Value = response.json().await.unwrap_or_default();
    anyhow::bail!("{}", explain(status, &problem))
}
