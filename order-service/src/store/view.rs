//! Queries of the REST API: one order with its history, pages of orders, pages of products.
//!
//! **Architecture invariant:** reads only, locks nothing. A page ends at a key, not at a count, so
//! orders that are placed meanwhile do not shift the next page.

use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoredLine, history::EventFacts, stage, total};
use crate::domain::{money::Money, order::OrderStage};

/// An order as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownOrder {
    pub order_id: Uuid,
    pub stage: OrderStage,
    pub lines: Vec<StoredLine>,
    pub total: Money,
    /// When it was accepted.
    pub placed_at: OffsetDateTime,
    /// When it is cancelled if it has not ended by then.
    pub due_at: OffsetDateTime,
    /// When it was confirmed, even if it was cancelled afterwards.
    pub confirmed_at: Option<OffsetDateTime>,
}

/// An entry in an order's history, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownEntry {
    pub happened_at: OffsetDateTime,
    /// Which service says so.
    pub source: String,
    /// The message that says so.
    pub message_id: Uuid,
    pub what: String,
    /// What is particular about it.
    pub facts: EventFacts,
}

/// A product as people see it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ShownProduct {
    pub sku: String,
    pub name: String,
    /// The price of one, in minor units.
    pub price_minor: i64,
    /// Of what: ISO 4217.
    pub currency: String,
    /// Whether it can be ordered.
    pub active: bool,
}

/// The same columns for one order and for pages of them.
macro_rules! select_orders {
    ($which:literal) => {
        concat!(
            "SELECT order_id, stage, reason, lines, total_minor, currency, placed_at, due_at,
                    confirmed_at, cancelled_at
             FROM orders ",
            $which
        )
    };
}

pub async fn order(
    conn: &mut PgConnection,
    order_id: Uuid,
) -> Result<Option<ShownOrder>, sqlx::Error> {
    let found = sqlx::query(select_orders!("WHERE order_id = $1"))
        .bind(order_id)
        .fetch_optional(conn)
        .await?;
    found.as_ref().map(shown).transpose()
}

/// The history of an order, oldest entry first.
pub async fn history(
    conn: &mut PgConnection,
    order_id: Uuid,
) -> Result<Vec<ShownEntry>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT happened_at, source, message_id, what, detail, facts FROM order_history
         WHERE order_id = $1 ORDER BY happened_at, message_id LIMIT $2",
    )
    .bind(order_id)
    .bind(HISTORY_MAX)
    .fetch_all(conn)
    .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> Result<ShownEntry, sqlx::Error> {
    let what: String = row.try_get("what")?;
    let facts: Option<Json<EventFacts>> = row.try_get("facts")?;
    let earlier: Option<String> = row.try_get("detail")?;
    let earlier = || earlier.map(|text| EventFacts::of_earlier(&what, &text));
    Ok(ShownEntry {
        happened_at: row.try_get("happened_at")?,
        source: row.try_get("source")?,
        message_id: row.try_get("message_id")?,
        facts: facts.map(|Json(facts)| facts).or_else(earlier).unwrap_or_default(),
        what,
    })
}

/// An order of one payment and a few mails has about ten entries.
const HISTORY_MAX: i64 = 1_000;

/// The start of a page and its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrdersPage {
    /// Only orders at this stage.
    pub stage: Option<&'static str>,
    /// Only those placed before this one.
    pub before: Option<Uuid>,
    /// The maximum number of orders on the page.
    pub limit: i64,
}

/// A page of orders, youngest first.
pub async fn orders(
    conn: &mut PgConnection,
    page: OrdersPage,
) -> Result<Vec<ShownOrder>, sqlx::Error> {
    let before = page.before.unwrap_or(Uuid::max());
    // Two statements and not one with an OR, so that each has its index. With `stage = $3` the planner
    // takes the primary key's order and reads past all orders at other stages, when it believes that
    // most are at this one: in the order of both columns, there is one index that serves.
    let query = match page.stage {
        None => sqlx::query(select_orders!("WHERE order_id < $1 ORDER BY order_id DESC LIMIT $2")),
        Some(_) => sqlx::query(select_orders!(
            "WHERE (stage, order_id) < ($3, $1) AND stage >= $3
             ORDER BY stage DESC, order_id DESC LIMIT $2"
        )),
    };
    let query = query.bind(before).bind(page.limit);
    let query = match page.stage {
        None => query,
        Some(stage) => query.bind(stage),
    };
    query.fetch_all(conn).await?.iter().map(shown).collect()
}

/// A page of products by SKU, those after `after`.
pub async fn products(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ShownProduct>, sqlx::Error> {
    sqlx::query_as(
        "SELECT sku, name, price_minor, currency, active FROM products
         WHERE sku > $1 AND name IS NOT NULL ORDER BY sku LIMIT $2",
    )
    .bind(after.unwrap_or_default())
    .bind(limit)
    .fetch_all(conn)
    .await
}

fn shown(row: &PgRow) -> Result<ShownOrder, sqlx::Error> {
    let Json(lines) = row.try_get("lines")?;
    Ok(ShownOrder {
        order_id: row.try_get("order_id")?,
        stage: stage(row)?,
        lines,
        total: total(row)?,
        placed_at: row.try_get("placed_at")?,
        due_at: row.try_get("due_at")?,
        confirmed_at: row.try_get("confirmed_at")?,
    })
}
