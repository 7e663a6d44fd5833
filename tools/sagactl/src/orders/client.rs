//! A client of order-service's public HTTP API.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    http_client::retry_after,
    refusal::problem_of,
    service_client::ServiceClient,
    which_system::{AddressSource, ServiceAddress},
};

/// Orders or products that the API lists at once, at most.
pub const PAGE_MAX: usize = 200;

/// The variable that names the URL of order-service's public API.
pub(super) const ORDERS_URL: &str = "ORDERS_URL";

/// A client of order-service.
#[derive(Clone, Debug)]
pub struct OrderClient(ServiceClient);

/// The content of an order.
#[derive(Clone, Debug)]
pub struct OrderWish {
    /// What, and how many.
    pub lines: Vec<(String, i32)>,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
    /// The payment method's token.
    pub payment_method: String,
    pub email: String,
}

/// An order as the API shows it. Answers to requests show a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShownOrder {
    pub id: Uuid,
    /// `pending`, `confirmed` or `cancelled`.
    pub status: String,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it costs, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// The currency's code, as in ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What has happened, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// All else that the API says of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Something that has happened to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What: the topic that carries it.
    pub what: String,
    /// When, by the clock of the service that says so.
    #[serde(default)]
    pub at: String,
    /// All else that the API says of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// How a POST was answered.
#[derive(Debug)]
pub enum PlaceAnswer {
    Accepted(ShownOrder),
    /// Too much at once: to be asked again after a moment.
    Busy(Duration),
    Refused(StatusCode, Value),
}

/// How an order stands, if it was told.
#[derive(Debug)]
pub(super) enum OrderLook {
    Seen(ShownOrder),
    /// There is no such order.
    Unknown,
    /// Too much at once, or the service is stopping: to be asked again after a moment.
    Busy(Duration),
}

/// Orders or products, as they come over HTTP.
#[derive(Debug, Deserialize)]
struct ListedPage<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl ShownOrder {
    /// Whether the order has ended.
    pub fn has_ended(&self) -> bool {
        self.status != "pending"
    }

    /// A text that the API says of it beside the rest.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.more.get(name)?.as_str()
    }
}

impl OrderClient {
    /// The order service at `base`.
    pub fn at(http: reqwest::Client, base: &str) -> Self {
        let source = AddressSource::Given;
        Self(ServiceClient::with(http, ServiceAddress::of("order-service", base, source)))
    }

    /// The order service at this address.
    pub(super) fn new(address: ServiceAddress) -> anyhow::Result<Self> {
        Ok(Self(ServiceClient::new(address)?))
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
            "currency": wish.currency,
            "payment_method": wish.payment_method,
            "customer": { "email": wish.email },
        });
        let request = self.0.post("orders").header("Idempotency-Key", format!("\"{key}\""));
        answer(self.0.send(request.json(&body)).await?).await
    }

    /// Asks for an order to be cancelled.
    pub async fn cancel(&self, id: Uuid) -> anyhow::Result<PlaceAnswer> {
        answer(self.0.send(self.0.post(&format!("orders/{id}/cancel"))).await?).await
    }

    /// How an order stands.
    pub async fn get(&self, id: Uuid) -> anyhow::Result<ShownOrder> {
        self.0.read(self.0.get(&format!("orders/{id}"))).await
    }

    /// How an order stands once it has ended, or after so long; asked for once.
    pub(super) async fn look(&self, id: Uuid, wait: Duration) -> anyhow::Result<OrderLook> {
        let request = self.0.get(&format!("orders/{id}"));
        let request = request.header("Prefer", format!("wait={}", wait.as_secs()));
        let response = self.0.send(request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(OrderLook::Unknown),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Ok(OrderLook::Busy(retry_after(&response).unwrap_or(Duration::from_secs(1))))
            }
            _other => self.0.body(response).await.map(OrderLook::Seen),
        }
    }

    /// The newest orders, at most `max`, those of one status or all; and whether there are more.
    pub async fn list(
        &self,
        status: Option<&str>,
        max: usize,
    ) -> anyhow::Result<(Vec<ShownOrder>, bool)> {
        let (mut orders, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let limit = PAGE_MAX.min(max - orders.len()).to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(status.map(|status| ("status", status)));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: ListedPage<ShownOrder> =
                self.0.read(self.0.get("orders").query(&query)).await?;
            orders.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || orders.len() >= max {
                return Ok((orders, cursor.is_some()));
            }
        }
    }

    /// Whether any order is pending.
    pub async fn any_pending(&self) -> anyhow::Result<bool> {
        Ok(!self.list(Some("pending"), 1).await?.0.is_empty())
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
        let request = self.0.get("products").query(&[("limit", limit)]);
        let page: ListedPage<Value> = self.0.read(request).await?;
        let sku = |item: &Value| Some(item.get("sku")?.as_str()?.to_owned());
        Ok(page.items.iter().filter_map(sku).collect())
    }
}

/// Whether the same thing is being worked on at this moment: an earlier attempt of one's own.
pub fn is_busy(problem: &Value) -> bool {
    problem["code"] == "busy"
}

async fn answer(response: Response) -> anyhow::Result<PlaceAnswer> {
    let status = response.status();
    let retry_after = retry_after(&response).unwrap_or(Duration::from_secs(1));
    match status {
        StatusCode::ACCEPTED | StatusCode::OK => Ok(PlaceAnswer::Accepted(
            response.json().await.context("the answer of order-service cannot be read")?,
        )),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Ok(PlaceAnswer::Busy(retry_after))
        }
        refused => Ok(PlaceAnswer::Refused(refused, problem_of(response).await)),
    }
}
