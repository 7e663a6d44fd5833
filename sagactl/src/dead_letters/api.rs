//! A client of the operators' API for dead letters.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::visible::visible;
use time::OffsetDateTime;
use uuid::Uuid;

/// A service, seen by its operators.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, or its address.
    pub name: String,
    /// The URL of its admin port.
    pub base: String,
    /// Asks it.
    pub http: reqwest::Client,
}

/// Which letters; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// A message's topic, or a job's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The code of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A letter, in short.
#[derive(Clone, Debug, Deserialize)]
pub struct Letter {
    /// Its name.
    pub id: Uuid,
    /// `message` or `job`.
    pub source: String,
    /// A message's topic, or a job's kind.
    pub topic: String,
    /// Its key.
    pub key: Option<String>,
    /// The code of the reason.
    pub reason: String,
    /// What exactly is wrong.
    pub detail: String,
    /// How often it has failed.
    pub attempts: i32,
    /// When it failed last.
    #[serde(with = "time::serde::rfc3339")]
    pub last_failed_at: OffsetDateTime,
    /// What became of the letter itself, while others still wait behind it.
    pub settled: Option<String>,
    /// How many wait behind it.
    pub waiting: i64,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Letter>,
    next_cursor: Option<String>,
}

/// How many letters there are of each topic and reason.
#[derive(Clone, Debug, Deserialize)]
pub struct Reasons {
    /// All of them.
    pub letters: i64,
    /// The most frequent first.
    pub items: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    /// `message` or `job`.
    pub source: String,
    /// A message's topic, or a job's kind.
    pub topic: String,
    /// Its code.
    pub reason: String,
    /// How many letters.
    pub letters: i64,
}

/// All that is known of a letter.
#[derive(Clone, Debug, Deserialize)]
pub struct Shown {
    /// Its name.
    pub id: Uuid,
    /// Whether it is open.
    pub open: bool,
    /// In short.
    pub letter: Option<Letter>,
    /// The message as it came.
    pub message: Option<Message>,
    /// What waits behind it.
    pub waiting: Vec<Waiting>,
    /// What was decided about it.
    pub decisions: Vec<Decision>,
}

/// A message as it came.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// The partition it was read from.
    pub partition: i32,
    /// The place in it.
    pub offset: i64,
    /// What stands on its outside.
    pub headers: Vec<Header>,
    /// What the body weighs.
    pub body_bytes: Option<usize>,
    /// The beginning of the body, in hexadecimal digits.
    pub body_hex: String,
}

/// A header of a message.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// A message that waits.
#[derive(Clone, Debug, Deserialize)]
pub struct Waiting {
    /// The partition it was read from.
    pub partition: i32,
    /// The place in it.
    pub offset: i64,
    /// Since when it waits.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// A decision.
#[derive(Clone, Debug, Deserialize)]
pub struct Decision {
    /// `redrive` or `discard`.
    pub action: String,
    /// What came of it.
    pub outcome: String,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Carried {
    /// It was settled before.
    NotOpen,
    /// It failed again.
    StillDead {
        /// How often it has failed.
        attempts: i32,
        /// The code of the reason.
        reason: String,
        /// What exactly is wrong.
        detail: String,
    },
    /// It is settled.
    Settled {
        /// So many that waited behind it were taken in.
        went_on: u64,
        /// So many still wait.
        left: u64,
        /// Why one of those that waited is dead now.
        now_behind: Option<String>,
    },
    /// The job is on its way again.
    PutBack,
}

/// An answer to a decision.
#[derive(Debug)]
pub enum Answer {
    /// It was carried out.
    Carried(Carried),
    /// To be asked again after a moment.
    Later(Duration),
    /// It was refused, for this reason.
    Refused(String),
}

/// Letters of one page.
const PAGE: usize = 200;

impl Service {
    /// How many letters there are of each topic and reason.
    pub async fn reasons(&self, filter: &Filter) -> anyhow::Result<Reasons> {
        let request = self.http.get(format!("{}/dead-letters/reasons", self.base)).query(filter);
        read(request).await
    }

    /// Open letters, oldest first, at most `max`.
    pub async fn list(&self, filter: &Filter, max: usize) -> anyhow::Result<Vec<Letter>> {
        let mut letters = Vec::new();
        let mut cursor: Option<String> = None;
        while letters.len() < max {
            let limit = PAGE.min(max - letters.len());
            let request = self.http.get(format!("{}/dead-letters", self.base)).query(filter);
            let request = request.query(&[("limit", limit)]);
            let page: Page = read(match &cursor {
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
    pub async fn show(&self, id: Uuid) -> anyhow::Result<Option<Shown>> {
        let response = self.http.get(format!("{}/dead-letters/{id}", self.base)).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(response.error_for_status()?.json().await.context("an unreadable letter")?))
    }

    /// Tries a letter again.
    pub async fn redrive(&self, id: Uuid, by: &str) -> anyhow::Result<Answer> {
        self.decide(id, "redrive", &json!({ "by": by })).await
    }

    /// Ends a letter.
    pub async fn discard(&self, id: Uuid, by: &str, reason: &str) -> anyhow::Result<Answer> {
        self.decide(id, "discard", &json!({ "by": by, "reason": reason })).await
    }

    async fn decide(&self, id: Uuid, deed: &str, body: &Value) -> anyhow::Result<Answer> {
        let url = format!("{}/dead-letters/{id}/{deed}", self.base);
        let response = self.http.post(url).json(body).send().await?;
        let status = response.status();
        if status.is_success() {
            let carried = response.json().await.context("an unreadable answer")?;
            return Ok(Answer::Carried(carried));
        }
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|it| it.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        if let Some(wait) = retry_after {
            return Ok(Answer::Later(wait));
        }
        let problem: Value = response.json().await.unwrap_or_default();
        Ok(Answer::Refused(explain(status, &problem)))
    }
}

/// A problem in one line, whatever is in it.
fn explain(status: StatusCode, problem: &Value) -> String {
    let text = |value: &Value, name: &str| Some(visible(value.get(name)?.as_str()?).into_owned());
    let title = text(problem, "title").unwrap_or_else(|| status.to_string());
    let errors = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let errors = errors
        .iter()
        .filter_map(|it| Some(format!("{} {}", text(it, "pointer")?, text(it, "detail")?)));
    let details: Vec<String> = text(problem, "detail").into_iter().chain(errors).collect();
    if details.is_empty() { title } else { format!("{title}: {}", details.join("; ")) }
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
