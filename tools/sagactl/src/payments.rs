//! `sagactl payments`: lists payments, and sends an operator's decision where no rule decides.
//!
//! Reads go to payment-service's public port, decisions to its operators' port.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    http_client::http_client,
    invocation,
    refusal::{explain, problem_of},
    screen::{columns, complain, say, say_json},
    service_client::ServiceClient,
    service_name::ServiceName,
    which_system::ServiceAddress,
};

mod render;

/// Payments that the API lists at once, at most.
const PAGE_MAX: usize = 200;

/// The variables that name its addresses.
const PAYMENTS_URL: &str = "PAYMENTS_URL";
const PAYMENTS_ADMIN_URL: &str = "PAYMENTS_ADMIN_URL";

/// Where payment-service is, and what to do there.
#[derive(Clone, Debug, Args)]
pub struct PaymentOptions {
    /// Base URL of payment-service's public API (default: the running demo's, or else the compose
    /// stack's at 127.0.0.1:8003).
    #[arg(long, env = PAYMENTS_URL, global = true)]
    pub url: Option<Url>,
    /// Base URL of payment-service's admin API (default: the running demo's, or else the compose
    /// stack's at 127.0.0.1:9003).
    #[arg(long, env = PAYMENTS_ADMIN_URL, global = true)]
    pub admin_url: Option<Url>,
    /// Prints one JSON document on standard output and nothing else: the payment, or of a list
    /// `{"items": [...], "more": true or false}`.
    #[arg(long, global = true)]
    pub json: bool,
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
        #[arg(long, visible_alias = "limit", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        max: u32,
    },
    /// Shows the payment of one order.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub minor: i64,
    /// The currency's code, as in ISO 4217.
    pub currency: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCharge {
    /// The gateway's name for it.
    pub id: String,
    pub amount: Money,
}

/// Why a payment was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A list as one JSON document.
#[derive(Serialize)]
struct PaymentList {
    items: Vec<ShownPayment>,
    /// Whether there are more than were asked for.
    more: bool,
}

/// payment-service, as an operator reaches it.
#[derive(Clone, Debug)]
pub struct PaymentAdmin {
    http: reqwest::Client,
    url: Option<Url>,
    admin_url: Option<Url>,
}

impl PaymentAdmin {
    /// The service at these addresses, or those that are found.
    pub fn at(url: Option<Url>, admin_url: Option<Url>) -> anyhow::Result<Self> {
        Ok(Self { http: http_client()?, url, admin_url })
    }

    fn public(&self) -> ServiceClient {
        let given = self.url.as_ref().map(Url::as_str);
        let address = ServiceAddress::public(ServiceName::Payments, PAYMENTS_URL, given);
        ServiceClient::with(self.http.clone(), address)
    }

    fn admin(&self) -> ServiceClient {
        let given = self.admin_url.as_ref().map(Url::as_str);
        let address = ServiceAddress::admin(ServiceName::Payments, PAYMENTS_ADMIN_URL, given);
        ServiceClient::with(self.http.clone(), address)
    }

    /// Payments, those of the newest orders first, at most `max`: of one stage or of all. And
    /// whether there are more.
    pub async fn list(
        &self,
        stage: Option<&str>,
        max: usize,
    ) -> anyhow::Result<(Vec<ShownPayment>, bool)> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        let public = self.public();
        loop {
            let limit = PAGE_MAX.min(max - found.len()).to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(stage.map(|stage| ("stage", stage)));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: PaymentPage = public.read(public.get("payments").query(&query)).await?;
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || found.len() >= max {
                return Ok((found, cursor.is_some()));
            }
        }
    }

    /// The payment of an order.
    pub async fn show(&self, order_id: Uuid) -> anyhow::Result<ShownPayment> {
        let public = self.public();
        let response = public.send(public.get(&format!("payments/{order_id}"))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            let list = invocation::command("payments list");
            anyhow::bail!("there is no payment of order {order_id}: `{list}` lists the newest");
        }
        public.body(response).await
    }

    /// Decides on a payment. The same again does nothing.
    pub async fn review(&self, order_id: Uuid, decision: ReviewDecision) -> anyhow::Result<()> {
        let body = serde_json::json!({ "decision": decision });
        let admin = self.admin();
        let request = admin.post(&format!("payments/{order_id}/review")).json(&body);
        let response = admin.send(request).await?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), explain(status, &problem_of(response).await));
        Ok(())
    }
}

/// Does what was asked.
pub async fn run(options: PaymentOptions) -> anyhow::Result<ExitCode> {
    let payments = PaymentAdmin::at(options.url, options.admin_url)?;
    let shown = match options.command {
        PaymentCommand::List { stage, max } => {
            let (items, more) = payments.list(stage.as_deref(), usize::try_from(max)?).await?;
            if options.json {
                say_json(&PaymentList { items, more })?;
            } else {
                render::table(&items, columns()).into_iter().for_each(say);
                if more {
                    complain(format_args!("… and more than these {max} (--max)"));
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        PaymentCommand::Show { order_id } => payments.show(order_id).await?,
        PaymentCommand::Review { order_id, decision } => {
            payments.review(order_id, decision).await?;
            payments.show(order_id).await?
        }
    };
    if options.json {
        say_json(&shown)?;
    } else {
        render::whole(&shown).into_iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}
