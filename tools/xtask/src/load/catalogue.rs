//! The products of a load: made and stocked through inventory-service's API where they are missing, and
//! known to order-service before the first order is placed.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use devstack::WaitLimit;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{RequestBuilder, Response, StatusCode};
use sagactl::{
    http_client::{http_client, retry_after},
    orders::client::PAGE_MAX,
    screen::ProgressBoard,
};
use serde_json::{Value, json};

use super::{LoadOptions, mix};

/// A product may stay unknown to order-service for so long while no other becomes known.
const UNKNOWN_MAX: Duration = Duration::from_secs(30);

/// How often order-service is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The number of times that a busy service is asked again, at most.
const BUSY_MAX: usize = 30;

/// Products that are looked at concurrently.
const AT_ONCE: usize = 16;

/// The least stock of a product before a load.
const STOCK_MIN: i64 = 100_000;

/// What an order takes of one product, at most.
const TAKEN_MAX: i64 = 3;

/// Where a product is sold and where it is ordered.
#[derive(Clone, Debug)]
pub struct ProductCatalogue {
    http: reqwest::Client,
    inventory: String,
    orders: String,
}

impl ProductCatalogue {
    /// The catalogue of the services at these URLs.
    pub fn at(inventory: &str, orders: &str) -> anyhow::Result<Self> {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Self { http: http_client()?, inventory: base(inventory), orders: base(orders) })
    }

    /// Makes the products that the load wants and that are missing, with enough stock, and waits until
    /// order-service knows all of them. Answers how many were made.
    pub async fn prepare(
        &self,
        options: &LoadOptions,
        run_id: &str,
        board: &ProgressBoard,
    ) -> anyhow::Result<u64> {
        let skus: Vec<_> =
            (0..options.products.into()).map(|n| mix::sku(n, options.products)).collect();
        let wanted = skus.len() as u64 + 1;
        let bar = board.count("products", wanted);
        let orders = i64::try_from(options.orders + options.warm_up)?;
        let needed = orders.saturating_mul(TAKEN_MAX).clamp(STOCK_MIN, i32::MAX.into());
        let made = stream::iter(&skus)
            .map(|sku| async {
                let made = self.stock_up(sku, needed, run_id).await?;
                bar.inc(1);
                anyhow::Ok(u64::from(made))
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, async |sum, made| Ok(sum + made));
        let mut made = made.await?;
        made += u64::from(self.offer(mix::UNOBTAINABLE).await?);
        bar.finish();
        let mut wanted: BTreeSet<String> = skus.into_iter().collect();
        wanted.insert(mix::UNOBTAINABLE.to_owned());
        self.until_known(&wanted, board).await?;
        Ok(made)
    }

    /// Sees to it that there is enough of a product; whether it had to be made.
    async fn stock_up(&self, sku: &str, needed: i64, run_id: &str) -> anyhow::Result<bool> {
        let made = self.offer(sku).await?;
        let stock = self.http.get(format!("{}/stock/{sku}", self.inventory));
        let stock: Value = self.insist(stock).await?.error_for_status()?.json().await?;
        let available = stock["available"].as_i64().context("no stock is shown")?;
        if available < needed {
            let restock = self
                .http
                .post(format!("{}/products/{sku}/restock", self.inventory))
                .header("Idempotency-Key", format!("\"load-{run_id}-{sku}\""))
                .json(&json!({ "quantity": needed - available }));
            self.accepted(restock, sku).await?;
        }
        Ok(made)
    }

    /// Offers a product if nobody does; whether that was so.
    async fn offer(&self, sku: &str) -> anyhow::Result<bool> {
        let url = format!("{}/products/{sku}", self.inventory);
        let known = self.insist(self.http.get(&url)).await?;
        if known.status() != StatusCode::NOT_FOUND {
            known.error_for_status()?;
            return Ok(false);
        }
        let offer =
            json!({ "name": format!("Load {sku}"), "price_minor": 1_000, "currency": "EUR" });
        self.accepted(self.http.put(&url).json(&offer), sku).await?;
        Ok(true)
    }

    async fn accepted(&self, request: RequestBuilder, sku: &str) -> anyhow::Result<()> {
        let response = self.insist(request).await?;
        let status = response.status();
        if !status.is_success() {
            let problem = response.text().await.unwrap_or_default();
            anyhow::bail!("inventory-service refuses product {sku}: {status} {problem}");
        }
        Ok(())
    }

    /// The answer of a service that is not too busy.
    async fn insist(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        for _ in 0..BUSY_MAX {
            let request = request.try_clone().context("a request that cannot be repeated")?;
            let response = request.send().await.with_context(|| {
                format!("inventory-service at {} or order-service at {} does not answer: does it run, and is its address right?", self.inventory, self.orders)
            })?;
            let is_busy = [
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::CONFLICT,
            ]
            .contains(&response.status());
            if !is_busy {
                return Ok(response);
            }
            tokio::time::sleep(retry_after(&response).unwrap_or(LOOK_AGAIN)).await;
        }
        anyhow::bail!(
            "{} or {} stays too busy for products to be made",
            self.inventory,
            self.orders
        )
    }

    async fn until_known(
        &self,
        wanted: &BTreeSet<String>,
        board: &ProgressBoard,
    ) -> anyhow::Result<()> {
        let bar = board.count("known", wanted.len() as u64);
        let mut limit = WaitLimit::new("order-service knows the products", UNKNOWN_MAX, LOOK_AGAIN);
        loop {
            let known = self.known_products().await?;
            let missing = wanted.difference(&known).count();
            bar.set_position((wanted.len() - missing) as u64);
            if missing == 0 {
                bar.finish();
                return Ok(());
            }
            limit.look_again(missing).await.with_context(|| {
                format!(
                    "order-service at {} does not hear of {missing} of {} products that inventory-service at {} \
                     has: do both belong to one system, and does product-changed get through?",
                    self.orders,
                    wanted.len(),
                    self.inventory
                )
            })?;
        }
    }

    /// The products that order-service has heard of.
    async fn known_products(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut known = BTreeSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", PAGE_MAX.to_string())];
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let request = self.http.get(format!("{}/products", self.orders)).query(&query);
            let page: Value = self.insist(request).await?.error_for_status()?.json().await?;
            let items = page["items"].as_array().context("no products are listed")?;
            known.extend(items.iter().filter_map(|item| Some(item["sku"].as_str()?.to_owned())));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(known);
            }
        }
    }
}
