//! The invariants, checked from outside: databases, topics, the gateway's own account, the mail.
//!
//! Nothing here asks a service how it is doing. Each check answers with what is wrong, in words;
//! an empty answer is a kept promise.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context as _;
use serde::Deserialize;
use shared::visible::visible;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::fleet::{Fleet, Member};

pub mod command;
pub mod counters;
pub mod groups;
pub mod topics;

/// What a run is held to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Dead letters that were provoked, over all services.
    pub dead_letters: i64,
}

/// Each promise and what is wrong with it.
#[derive(Debug)]
pub struct Report {
    /// The promises, in words, and what breaks them.
    pub checks: Vec<(&'static str, Vec<String>)>,
    /// What the topics hold.
    pub said: topics::Said,
    /// What the services counted.
    pub counted: counters::Counted,
    /// Orders by how they ended.
    pub orders: BTreeMap<String, i64>,
}

impl Report {
    /// Everything that is wrong, with the promise that it breaks.
    pub fn faults(&self) -> Vec<String> {
        let faults = |(promise, faults): &(&'static str, Vec<String>)| {
            // Each stays on its line, whatever keys, names and details are in it.
            faults.iter().map(|it| format!("{promise}: {}", visible(it))).collect::<Vec<_>>()
        };
        self.checks.iter().flat_map(faults).collect()
    }
}

/// Checks every promise, once all orders have ended and the roads are empty.
pub async fn audit(fleet: &Fleet, expected: Expected) -> anyhow::Result<Report> {
    let orders = orders(fleet).await?;
    let account = gateway(fleet).await?;
    let broker = fleet.broker();
    let asked = broker.clone();
    let unread = tokio::task::spawn_blocking(move || groups::faults(&asked)).await??;
    let said = tokio::task::spawn_blocking(move || topics::read(&broker)).await??;
    let counted = counters::read(fleet).await?;
    let mut by_stage = BTreeMap::new();
    for order in orders.values() {
        *by_stage.entry(order.stage.clone()).or_default() += 1;
    }
    let checks = vec![
        ("every order has ended", unended(&orders)),
        ("stock adds up", stock(fleet, &orders).await?),
        (
            "who is confirmed has paid once, who is cancelled has paid nothing",
            money(&orders, &account),
        ),
        ("everything that was said is in the topics, in order", said.faults()),
        ("everything that was said is read", unread),
        ("what must stay 0 is 0", counters::faults(counted)),
        ("nothing waits in an outbox", outboxes(fleet).await?),
        ("no job is left", jobs(fleet).await?),
        ("dead letters are those that were provoked", dead_letters(fleet, expected).await?),
        ("every customer was told, once by Message-ID", notices(fleet, &orders).await?),
    ];
    Ok(Report { checks, said, counted, orders: by_stage })
}

struct Order {
    stage: String,
    total_minor: i64,
    lines: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    quantity: i64,
}

async fn connect(fleet: &Fleet, member: Member) -> anyhow::Result<PgConnection> {
    let url = fleet.database(member).with_context(|| format!("{member} has no database"))?;
    PgConnection::connect(url).await.with_context(|| format!("{member}'s database"))
}

async fn orders(fleet: &Fleet) -> anyhow::Result<HashMap<Uuid, Order>> {
    let mut conn = connect(fleet, Member::Orders).await?;
    let rows: Vec<(Uuid, String, i64, sqlx::types::Json<Vec<Line>>)> =
        sqlx::query_as("SELECT order_id, stage, total_minor, lines FROM orders")
            .fetch_all(&mut conn)
            .await?;
    let order = |(id, stage, total_minor, lines): (_, _, _, sqlx::types::Json<Vec<Line>>)| {
        let lines = lines.0.into_iter().map(|it| (it.sku, it.quantity)).collect();
        (id, Order { stage, total_minor, lines })
    };
    Ok(rows.into_iter().map(order).collect())
}

fn unended(orders: &HashMap<Uuid, Order>) -> Vec<String> {
    let open = orders.iter().filter(|(_, it)| it.stage == "pending");
    open.map(|(id, _)| format!("order {id} is pending")).collect()
}

/// Per SKU: available + reserved + sold = stocked, nothing reserved, sold = what was confirmed.
async fn stock(fleet: &Fleet, orders: &HashMap<Uuid, Order>) -> anyhow::Result<Vec<String>> {
    let mut confirmed: HashMap<&str, i64> = HashMap::new();
    for order in orders.values().filter(|it| it.stage == "confirmed") {
        for (sku, quantity) in &order.lines {
            *confirmed.entry(sku).or_default() += quantity;
        }
    }
    let mut conn = connect(fleet, Member::Inventory).await?;
    let rows: Vec<(String, i64, i64, i64, i64)> =
        sqlx::query_as("SELECT sku, stocked, available, reserved, sold FROM products")
            .fetch_all(&mut conn)
            .await?;
    let mut faults = Vec::new();
    for (sku, stocked, available, reserved, sold) in rows {
        if available + reserved + sold != stocked || available < 0 || sold < 0 {
            faults.push(format!("{sku}: {available} + {reserved} + {sold} is not {stocked}"));
        }
        if reserved != 0 {
            faults.push(format!("{sku}: {reserved} are reserved for nobody"));
        }
        let expected = confirmed.remove(sku.as_str()).unwrap_or_default();
        if sold != expected {
            faults.push(format!("{sku}: {sold} sold, {expected} confirmed"));
        }
    }
    faults.extend(confirmed.keys().map(|sku| format!("{sku}: confirmed and unknown")));
    Ok(faults)
}

/// The gateway's word on one order: net amount, and charges that were not given back.
#[derive(Debug, Default)]
struct Account {
    net: i64,
    standing: u32,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Charge>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Charge {
    id: String,
    amount: i64,
    amount_refunded: i64,
    metadata: HashMap<String, String>,
}

async fn gateway(fleet: &Fleet) -> anyhow::Result<HashMap<Uuid, Account>> {
    let http = crate::client::http()?;
    let base = fleet.url(Member::Gateway);
    let mut account: HashMap<Uuid, Account> = HashMap::new();
    let mut after = String::new();
    loop {
        let url = format!("{base}/charges?limit=1000{after}");
        let page: Page = http.get(url).send().await?.error_for_status()?.json().await?;
        for charge in &page.data {
            let order = charge.metadata.get("order_id").context("a charge without an order")?;
            let entry = account.entry(order.parse()?).or_default();
            let net = charge.amount - charge.amount_refunded;
            entry.net += net;
            entry.standing += u32::from(net != 0);
        }
        match page.data.last() {
            Some(last) if page.has_more => after = format!("&starting_after={}", last.id),
            _ => return Ok(account),
        }
    }
}

fn money(orders: &HashMap<Uuid, Order>, account: &HashMap<Uuid, Account>) -> Vec<String> {
    let mut faults = Vec::new();
    let nothing = Account::default();
    for (id, order) in orders {
        let paid = account.get(id).unwrap_or(&nothing);
        let (net, standing) = match order.stage.as_str() {
            "confirmed" => (order.total_minor, u32::from(order.total_minor > 0)),
            _cancelled => (0, 0),
        };
        if (paid.net, paid.standing) != (net, standing) {
            faults.push(format!("order {id} ({}): {paid:?}, not {net}", order.stage));
        }
    }
    let strangers = account.keys().filter(|id| !orders.contains_key(id));
    faults.extend(strangers.map(|id| format!("a charge for {id}, which is no order")));
    faults
}

async fn count(fleet: &Fleet, member: Member, sql: &'static str) -> anyhow::Result<i64> {
    let mut conn = connect(fleet, member).await?;
    sqlx::query_scalar(sql).fetch_one(&mut conn).await.with_context(|| format!("{member}: {sql}"))
}

async fn outboxes(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for member in Member::SERVICES {
        let n = count(fleet, member, "SELECT count(*) FROM messaging.outbox").await?;
        if n > 0 {
            faults.push(format!("{member}: {n} messages"));
        }
    }
    Ok(faults)
}

async fn jobs(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for member in Member::SERVICES {
        let n = count(fleet, member, "SELECT count(*) FROM messaging.job").await?;
        if n > 0 {
            faults.push(format!("{member}: {n} jobs"));
        }
    }
    Ok(faults)
}

async fn dead_letters(fleet: &Fleet, expected: Expected) -> anyhow::Result<Vec<String>> {
    let mut found = 0;
    let mut reasons = BTreeSet::new();
    for member in Member::SERVICES {
        let mut conn = connect(fleet, member).await?;
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT topic, reason, detail FROM messaging.dead_letter")
                .fetch_all(&mut conn)
                .await?;
        found += i64::try_from(rows.len())?;
        reasons.extend(rows.iter().map(|(t, r, d)| format!("{member}, {t}: {r}: {d}")));
    }
    if found == expected.dead_letters {
        return Ok(vec![]);
    }
    let mut faults = vec![format!("{found}, not {}", expected.dead_letters)];
    faults.extend(reasons.into_iter().take(10));
    Ok(faults)
}

/// Each order's customer has been told how it ended. Message-IDs name order and kind, so one row per
/// kind means one mail by Message-ID.
async fn notices(fleet: &Fleet, orders: &HashMap<Uuid, Order>) -> anyhow::Result<Vec<String>> {
    let mut conn = connect(fleet, Member::Notify).await?;
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT order_id, kind FROM notices WHERE stage = 'sent'")
            .fetch_all(&mut conn)
            .await?;
    let sent: BTreeSet<(Uuid, String)> = rows.into_iter().collect();
    let untold = orders.iter().filter(|(id, it)| !sent.contains(&(**id, it.stage.clone())));
    Ok(untold.map(|(id, it)| format!("order {id}: not told that it is {}", it.stage)).collect())
}
