//! `sagactl payments`: lists payments, and sends an operator's decision where no rule decides.
//!
//! Reads go to payment-service's public port, decisions to its operators' port.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::visible_text::visible;
use uuid::Uuid;

use crate::{http_client::http_client, screen::say};

mod render;

/// Where payment-service is, and what to do there.
#[derive(Clone, Debug, Args)]
pub struct PaymentOptions {
    /// Base URL of payment-service's public API.
    #[arg(long, env = "PAYMENTS_URL", default_value = "http://127.0.0.1:8003", global = true)]
    pub url: Url,
    /// Base URL of payment-service's admin API.
    #[arg(
        long,
        env = "PAYMENTS_ADMIN_URL",
        default_value = "http://127.0.0.1:9003",
        global = true
    )]
    pub admin_url: Url,
    /// What to do.
    #[command(subcommand)]
    pub command: PaymentCommand,
}

/// What to do with payments.
#[derive(Clone, Debug, Subcommand)]
pub enum PaymentCommand {
    /// Lists payments, those of the newest orders first.
    List {
        /// Only payments at this stage, such as `needs-review`.
        #[arg(long)]
        stage: Option<String>,
        /// Maximum number of payments.
        #[arg(long, default_value_t = 50)]
        max: usize,
    },
    /// Shows one payment.
    Show {
        /// Id of the payment's order.
        order_id: Uuid,
    },
    /// Decides on a payment that needs review.
    Review {
        /// Id of the payment's order.
        order_id: Uuid,
        /// The decision.
        #[arg(value_enum)]
        decision: ReviewDecision,
    },
}

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewDecision {
    /// The amount that was charged is right: the order is paid.
    Accept,
    /// What was charged goes back, or is sent back again; a charge in doubt is looked for again.
    Refund,
    /// The customer has the money: nothing was charged, or it went back by another way.
    Settle,
}

/// A payment, as payment-service shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ShownPayment {
    /// Id of the payment's order.
    pub order_id: Uuid,
    pub stage: String,
    /// What the order asks to be paid.
    pub amount: Option<Money>,
    /// The payment method, masked.
    pub payment_method: Option<String>,
    pub charge: Option<ShownCharge>,
    /// The gateway's id of the refund.
    pub refund_id: Option<String>,
    /// Why it was not paid.
    pub failure: Option<ShownFailure>,
    /// Why a person has to decide.
    pub review: Option<String>,
    /// When the payment was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Money {
    pub minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ShownCharge {
    /// The gateway's name for it.
    pub id: String,
    pub amount: Money,
}

/// Why a payment was not made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ShownFailure {
    pub reason: String,
    /// The gateway's code for a decline.
    pub code: Option<String>,
}

#[derive(Deserialize)]
struct PaymentPage {
    items: Vec<ShownPayment>,
    next_cursor: Option<String>,
}

/// payment-service, as an operator reaches it.
#[derive(Clone, Debug)]
pub struct PaymentAdmin {
    http: reqwest::Client,
    url: Url,
    admin_url: Url,
}

impl PaymentAdmin {
    /// The service at these addresses.
    pub fn at(url: Url, admin_url: Url) -> anyhow::Result<Self> {
        Ok(Self { http: http_client()?, url, admin_url })
    }

    /// Payments, those of the newest orders first: of one stage or of all.
    pub async fn list(&self, stage: Option<&str>, max: usize) -> anyhow::Result<Vec<ShownPayment>> {
        let mut found: Vec<ShownPayment> = Vec::new();
        let mut cursor: Option<String> = None;
        while found.len() < max {
            let mut url = self.url.join("payments")?;
            url.query_pairs_mut()
                .extend_pairs(stage.map(|stage| ("stage", stage)))
                .extend_pairs(cursor.as_deref().map(|text| ("cursor", text)));
            let page: PaymentPage = answer(self.http.get(url).send().await?).await?;
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        found.truncate(max);
        Ok(found)
    }

    /// The payment of an order.
    pub async fn show(&self, order_id: Uuid) -> anyhow::Result<ShownPayment> {
        let url = self.url.join(&format!("payments/{order_id}"))?;
        answer(self.http.get(url).send().await?).await
    }

    /// Decides on a payment. The same again does nothing.
    pub async fn review(&self, order_id: Uuid, decision: ReviewDecision) -> anyhow::Result<()> {
        let url = self.admin_url.join(&format!("payments/{order_id}/review"))?;
        let body = serde_json::json!({ "decision": decision });
        refusal(self.http.post(url).json(&body).send().await?).await.map(drop)
    }
}

async fn answer<T: serde::de::DeserializeOwned>(response: reqwest::Response) -> anyhow::Result<T> {
    refusal(response).await?.json().await.context("payment-service gave an unreadable answer")
}

/// Turns a refusal into what it says.
async fn refusal(response: reqwest::Response) -> anyhow::Result<reqwest::Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value = response.json().await.unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(Value::as_str).map(visible);
    let title = text("title").unwrap_or_else(|| "payment-service refused".into());
    match text("detail") {
        Some(detail) => anyhow::bail!("{title}: {detail} ({})", status.as_u16()),
        None => anyhow::bail!("{title} ({})", status.as_u16()),
    }
}

/// Does what was asked.
pub async fn run(options: PaymentOptions) -> anyhow::Result<ExitCode> {
    let payments = PaymentAdmin::at(options.url, options.admin_url)?;
    match options.command {
        PaymentCommand::List { stage, max } => {
            let found = payments.list(stage.as_deref(), max).await?;
            render::table(&found).into_iter().for_each(say);
        }
        PaymentCommand::Show { order_id } => {
            render::whole(&payments.show(order_id).await?).into_iter().for_each(say);
        }
        PaymentCommand::Review { order_id, decision } => {
            payments.review(order_id, decision).await?;
            render::whole(&payments.show(order_id).await?).into_iter().for_each(say);
        }
    }
    Ok(ExitCode::SUCCESS)
}
