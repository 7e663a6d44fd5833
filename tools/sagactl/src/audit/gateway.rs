//! The gateway's own account: each charge, as a fact about its order.
//!
//! **Bound:** one page of charges.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::fact::{FactStatement, OrderFact};

/// Charges that are asked for at once.
const PAGE_MAX: &str = "1000";

/// Attempts of a call; failed calls are repeated after a pause.
const CALLS_MAX: u32 = 3;
const CALL_AGAIN: Duration = Duration::from_millis(200);

/// A client of the gateway's public API.
#[derive(Clone, Debug)]
pub(super) struct GatewayReader {
    http: reqwest::Client,
    base: Url,
}

#[derive(Deserialize)]
struct ChargePage {
    data: Vec<ChargeBody>,
    has_more: bool,
}

#[derive(Deserialize)]
struct ChargeBody {
    id: String,
    amount: i64,
    amount_refunded: i64,
    metadata: HashMap<String, String>,
}

impl GatewayReader {
    pub(super) fn new(http: reqwest::Client, base: Url) -> Self {
        Self { http, base }
    }

    /// All charges, or those for one order.
    pub(super) async fn read(
        &self,
        order_id: Option<Uuid>,
        mut take: impl FnMut(OrderFact) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let mut url = self.base.join("charges")?;
            url.query_pairs_mut()
                .append_pair("limit", PAGE_MAX)
                .extend_pairs(order_id.map(|id| ("order_id", id.to_string())))
                .extend_pairs(after.map(|id: String| ("starting_after", id)));
            let page: ChargePage = get(&self.http, url).await?;
            for charge in &page.data {
                take(charge.fact()?)?;
            }
            after = page.data.last().map(|charge| charge.id.clone());
            if after.is_none() || !page.has_more {
                return Ok(());
            }
        }
    }
}

impl ChargeBody {
    fn fact(&self) -> anyhow::Result<OrderFact> {
        let order = self.metadata.get("order_id");
        let order = order.with_context(|| format!("charge {} names no order", self.id))?;
        let order = order.parse().with_context(|| format!("charge {} is for no order", self.id))?;
        let statement =
            FactStatement::Charge { amount: self.amount, refunded: self.amount_refunded };
        Ok(OrderFact::new(order, statement))
    }
}

/// Asks a few times for a page.
pub(super) async fn get<T: DeserializeOwned>(
    http: &reqwest::Client,
    url: Url,
) -> anyhow::Result<T> {
    let mut calls = 0;
    loop {
        let asked = async { http.get(url.clone()).send().await?.error_for_status()?.json().await };
        calls += 1;
        match asked.await {
            Ok(page) => return Ok(page),
            Err(error) if calls >= CALLS_MAX => return Err(error.into()),
            Err(_) => tokio::time::sleep(CALL_AGAIN).await,
        }
    }
}
