//! A client of the public HTTP API of order-service.

use std::time::Duration;

use anyhow::Context as _;
use devstack::WaitLimit;
use reqwest::StatusCode;
use sagactl::http_client::retry_after;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Pause before a request that was told to come back is sent again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Products that the API lists at once, at most.
pub const PAGE_MAX: usize = 200;

/// A client of order-service.
#[derive(Clone, Debug)]
pub struct OrderClient {
    http: reqwest::Client,
    base: String,
}

/// The content of an order.
#[derive(Clone, Debug)]
pub struct OrderWish {
    /// What, and how many.
    pub lines: Vec<(String, i32)>,
    /// The payment method's token.
    pub payment_method: String,
    pub email: String,
}

/// An order as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct ShownOrder {
    pub id: Uuid,
    /// `pending`, `confirmed` or `cancelled`.
    pub status: String,
    /// Why it was cancelled.
    pub reason: Option<String>,
    /// What it costs, in minor units of its currency. The answer to a cancellation does not say it.
    pub total: Option<i64>,
    pub currency: Option<String>,
    /// What has happened, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
}

/// Something that has happened to an order.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryEntry {
    pub what: String,
}

/// How a POST was answered.
#[derive(Debug)]
pub enum PlaceAnswer {
    Accepted(ShownOrder),
    /// Too much at once: to be asked again after a moment.
    Busy(Duration),
    Refused(StatusCode, Value),
}

impl OrderClient {
    /// The order service at `base`.
    pub fn at(http: reqwest::Client, base: &str) -> Self {
        Self { http, base: base.trim_end_matches('/').to_owned() }
    }

    /// Places an order. The same `key` again is the same order.
    pub async fn place(&self, key: &str, wish: &OrderWish) -> anyhow::Result<PlaceAnswer> {
        let lines: Vec<Value> = wish
            .lines
            .iter()
            .map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity }))
            .collect();
        let body = json!({
            "lines": lines,
            "currency": "EUR",
            "payment_method": wish.payment_method,
            "customer": { "email": wish.email },
        });
        let request = self.http.post(format!("{}/orders", self.base));
        answer(request.header("Idempotency-Key", format!("\"{key}\"")).json(&body).send().await?)
            .await
    }

    /// Asks for an order to be cancelled.
    pub async fn cancel(&self, id: Uuid) -> anyhow::Result<PlaceAnswer> {
        answer(self.http.post(format!("{}/orders/{id}/cancel", self.base)).send().await?).await
    }

    /// Has an order placed: told to come back, or without an answer, the customer asks again, for
    /// as long as `still_max` is worth. The same `key` again is the same order.
    pub async fn place_within(
        &self,
        still_max: Duration,
        key: &str,
        wish: &OrderWish,
    ) -> anyhow::Result<ShownOrder> {
        let order = format!("order {key}");
        again(&order, "accepted", still_max, async || self.place(key, wish).await).await
    }

    /// Has an order cancelled, in the same way.
    pub async fn cancel_within(&self, still_max: Duration, id: Uuid) -> anyhow::Result<()> {
        let order = format!("order {id}");
        again(&order, "cancelled", still_max, async || self.cancel(id).await).await.map(drop)
    }

    /// How an order stands.
    pub async fn get(&self, id: Uuid) -> anyhow::Result<ShownOrder> {
        let response = self.http.get(format!("{}/orders/{id}", self.base)).send().await?;
        response.error_for_status()?.json().await.context("an unreadable order")
    }

    /// Whether any order is pending.
    pub async fn any_pending(&self) -> anyhow::Result<bool> {
        Ok(!self.items("orders?status=pending&limit=1").await?.is_empty())
    }

    /// Whether at least `n` products have reached the order service.
    pub async fn knows_products(&self, n: usize) -> anyhow::Result<bool> {
        Ok(self.products(n).await?.len() >= n)
    }

    /// Whether these products have reached the order service, on its first page.
    pub async fn knows_skus(&self, wanted: &[String]) -> anyhow::Result<bool> {
        let known = self.products(PAGE_MAX).await?;
        Ok(wanted.iter().all(|sku| known.contains(sku)))
    }

    async fn products(&self, limit: usize) -> anyhow::Result<Vec<String>> {
        let items = self.items(&format!("products?limit={limit}")).await?;
        Ok(items.iter().filter_map(|item| Some(item.get("sku")?.as_str()?.to_owned())).collect())
    }

    /// What one page of a list shows.
    async fn items(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/{path}", self.base);
        let page: Value = self.http.get(url).send().await?.error_for_status()?.json().await?;
        page.get("items").and_then(Value::as_array).cloned().context("an unreadable page")
    }
}

/// Whether the same thing is being worked on at this moment: an earlier attempt of one's own.
pub fn is_busy(problem: &Value) -> bool {
    problem["code"] == "busy"
}

async fn again(
    order: &str,
    deed: &str,
    still_max: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<PlaceAnswer>,
) -> anyhow::Result<ShownOrder> {
    let mut limit = WaitLimit::new(format!("{order} is {deed}"), still_max, LOOK_AGAIN);
    loop {
        let seen = match ask().await {
            Ok(PlaceAnswer::Accepted(order)) => return Ok(order),
            Ok(PlaceAnswer::Refused(status, problem)) if !is_busy(&problem) => {
                anyhow::bail!("{order} is not {deed}: {status} {problem}")
            }
            // No more than this: each problem has an id of its own.
            Ok(PlaceAnswer::Refused(..) | PlaceAnswer::Busy(_)) => "told to come back".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        limit.look_again(seen).await?;
    }
}

async fn answer(response: reqwest::Response) -> anyhow::Result<PlaceAnswer> {
    let status = response.status();
    let retry_after = retry_after(&response).unwrap_or(Duration::from_secs(1));
    let body = response.bytes().await?;
    match status {
        StatusCode::ACCEPTED | StatusCode::OK => Ok(PlaceAnswer::Accepted(
            serde_json::from_slice(&body).context("an unreadable answer")?,
        )),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Ok(PlaceAnswer::Busy(retry_after))
        }
        refused => {
            Ok(PlaceAnswer::Refused(refused, serde_json::from_slice(&body).unwrap_or_default()))
        }
    }
}
