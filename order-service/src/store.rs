//! All SQL of this service. One statement for a whole batch, never one per order.
//!
//! **Architecture invariant:** nothing here begins or ends a transaction: the callers do that.
//! Rows are locked in the order of their keys, so that two batches cannot deadlock.

use std::{collections::HashMap, time::Duration};

use shared::{
    fault::Fault,
    locked_rows::{self, ChangedRow, LoadedRow, LockedRows},
};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use self::history::HistoryEntry;
use crate::{
    domain::{
        draft::{OrderLine, PlacedOrder},
        money::{Currency, Money},
        order::{CancelReason, Order, OrderCommand, OrderStage},
    },
    request::OrderRequest,
};

pub mod catalogue;
pub mod history;
pub mod open;
pub mod view;

/// The orders of a batch, and what is stored with them.
#[derive(Clone, Debug)]
pub struct OrderRows {
    pub locked: LockedRows<Uuid, Order>,
    /// The initial data of the orders that this batch places.
    pub placed: HashMap<Uuid, PlacedOrder>,
    /// Entries to add to the orders' histories.
    pub history: Vec<(Uuid, HistoryEntry)>,
}

/// Locks the orders of these requests until the transaction ends, and reads them. An order that a
/// request places has no row yet, and none is looked for.
pub async fn load_for_update(
    conn: &mut PgConnection,
    requests: &[OrderRequest],
) -> Result<OrderRows, Fault> {
    let known =
        requests.iter().filter(|request| !matches!(request.command, OrderCommand::Place(_)));
    let mut order_ids: Vec<Uuid> = known.map(|request| request.order_id).collect();
    order_ids.sort_unstable();
    order_ids.dedup();
    let locked = LockedRows::new(lock(conn, &order_ids).await?);
    Ok(OrderRows { locked, placed: HashMap::new(), history: vec![] })
}

/// Locks these orders until the transaction ends, and reads those that exist.
pub async fn lock(
    conn: &mut PgConnection,
    order_ids: &[Uuid],
) -> Result<Vec<(Uuid, LoadedRow<Option<Order>>)>, sqlx::Error> {
    if order_ids.is_empty() {
        return Ok(vec![]);
    }
    sqlx::query(
        "SELECT order_id, stage, reason, total_minor, currency,
                placed_at, due_at, confirmed_at, cancelled_at, said, version
         FROM orders WHERE order_id = ANY ($1) ORDER BY order_id FOR NO KEY UPDATE",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| {
        let (said, version) = (row.try_get("said")?, row.try_get("version")?);
        Ok((row.try_get("order_id")?, LoadedRow { state: Some(order(row)?), said, version }))
    })
    .collect()
}

/// Locks up to `n_max` pending orders that were due at `now() - ago` or earlier, by the database's
/// clock, and that no other transaction has locked. Returns them with `now()`. Orders that were due
/// before `from` are left out.
pub async fn lock_overdue(
    conn: &mut PgConnection,
    from: OffsetDateTime,
    ago: Duration,
    n_max: i64,
) -> Result<Vec<(Uuid, OffsetDateTime)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT order_id, now() FROM orders
         WHERE stage = 'pending' AND due_at <= now() - make_interval(secs => $1) AND due_at >= $3
         ORDER BY due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(ago.as_secs_f64())
    .bind(n_max)
    .bind(from)
    .fetch_all(conn)
    .await
}

/// `now()` of the database: the begin of the transaction.
pub async fn now(conn: &mut PgConnection) -> Result<OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar("SELECT now()").fetch_one(conn).await
}

/// Stores the changed orders, and their history.
pub async fn save(conn: &mut PgConnection, rows: &OrderRows) -> Result<(), Fault> {
    let (changed, new): (Vec<_>, Vec<_>) =
        rows.locked.changed().into_iter().partition(|row| row.before.is_some());
    insert(conn, &new, &rows.placed).await?;
    update(conn, &changed).await?;
    Ok(history::note(conn, &rows.history).await?)
}

type ChangedOrder<'r> = ChangedRow<'r, Uuid, Option<Order>>;

async fn insert(
    conn: &mut PgConnection,
    new: &[ChangedOrder<'_>],
    placed: &HashMap<Uuid, PlacedOrder>,
) -> Result<(), Fault> {
    // Only a placement makes an order, so each new row has one.
    let placed: Vec<&PlacedOrder> = new.iter().filter_map(|row| placed.get(row.key)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let columns = OrderColumns::of(new);
    let lines: Vec<_> = placed.iter().map(|placement| Json(stored(&placement.lines))).collect();
    let inserted = sqlx::query(
        "INSERT INTO orders (order_id, stage, reason, confirmed_at, cancelled_at, said, version,
                             lines, total_minor, currency, placed_at, due_at)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[],
                              $5::timestamptz[], $6::int8[], $7::int8[], $8::jsonb[], $9::int8[],
                              $10::text[], $11::timestamptz[], $12::timestamptz[])
         ON CONFLICT DO NOTHING",
    )
    .bind(columns.order_id)
    .bind(columns.stage)
    .bind(columns.reason)
    .bind(columns.confirmed_at)
    .bind(columns.cancelled_at)
    .bind(columns.said)
    .bind(columns.version)
    .bind(lines)
    .bind(placed.iter().map(|placement| placement.total.minor()).collect::<Vec<_>>())
    .bind(placed.iter().map(|placement| placement.total.currency().to_string()).collect::<Vec<_>>())
    .bind(placed.iter().map(|placement| placement.placed_at).collect::<Vec<_>>())
    .bind(placed.iter().map(|placement| placement.due_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    // Fewer only if an order has an id that is taken: the next attempt generates other ids.
    locked_rows::all_written(inserted.rows_affected(), new.len())
}

/// Stores the current state of these orders. The data that an order was placed with never changes.
async fn update(conn: &mut PgConnection, changed: &[ChangedOrder<'_>]) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    let columns = OrderColumns::of(changed);
    let updated = sqlx::query(
        "UPDATE orders
         SET stage = new.stage, reason = new.reason, said = new.said, version = new.version,
             confirmed_at = coalesce(new.confirmed_at, orders.confirmed_at),
             cancelled_at = new.cancelled_at
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                     $6::int8[], $7::int8[])
              AS new (order_id, stage, reason, confirmed_at, cancelled_at, said, version)
         WHERE orders.order_id = new.order_id AND orders.version = new.version - 1",
    )
    .bind(columns.order_id)
    .bind(columns.stage)
    .bind(columns.reason)
    .bind(columns.confirmed_at)
    .bind(columns.cancelled_at)
    .bind(columns.said)
    .bind(columns.version)
    .execute(conn)
    .await?;
    locked_rows::all_written(updated.rows_affected(), changed.len())
}

/// The columns of many orders that can change.
#[derive(Default)]
struct OrderColumns {
    order_id: Vec<Uuid>,
    stage: Vec<&'static str>,
    reason: Vec<Option<&'static str>>,
    confirmed_at: Vec<Option<OffsetDateTime>>,
    cancelled_at: Vec<Option<OffsetDateTime>>,
    said: Vec<i64>,
    version: Vec<i64>,
}

impl OrderColumns {
    fn of(rows: &[ChangedOrder<'_>]) -> Self {
        let mut columns = Self::default();
        for (row, order) in rows.iter().filter_map(|row| Some((row, row.after.as_ref()?))) {
            let (reason, confirmed_at, cancelled_at) = match order.stage {
                OrderStage::Pending { .. } => (None, None, None),
                OrderStage::Confirmed { at } => (None, Some(at), None),
                OrderStage::Cancelled { reason, at } => (Some(reason.code()), None, Some(at)),
            };
            columns.order_id.push(*row.key);
            columns.stage.push(order.stage.name());
            columns.reason.push(reason);
            columns.confirmed_at.push(confirmed_at);
            columns.cancelled_at.push(cancelled_at);
            columns.said.push(row.said);
            columns.version.push(row.version);
        }
        columns
    }
}

/// A line as stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredLine {
    pub sku: String,
    pub quantity: u16,
    /// The price of one, in minor units.
    pub unit_price_minor: i64,
}

fn stored(lines: &[OrderLine]) -> Vec<StoredLine> {
    lines
        .iter()
        .map(|line| StoredLine {
            sku: line.sku.as_str().to_owned(),
            quantity: line.quantity.get(),
            unit_price_minor: line.unit_price.minor(),
        })
        .collect()
}

fn order(row: &PgRow) -> Result<Order, sqlx::Error> {
    Ok(Order { placed_at: row.try_get("placed_at")?, total: total(row)?, stage: stage(row)? })
}

fn total(row: &PgRow) -> Result<Money, sqlx::Error> {
    let currency = Currency::parse(row.try_get("currency")?).map_err(unreadable("currency"))?;
    Money::new(row.try_get("total_minor")?, currency).map_err(unreadable("total_minor"))
}

fn stage(row: &PgRow) -> Result<OrderStage, sqlx::Error> {
    let reason = |row: &PgRow| CancelReason::from_code(row.try_get("reason").ok()?);
    match row.try_get("stage")? {
        "pending" => Ok(OrderStage::Pending { due_at: row.try_get("due_at")? }),
        "confirmed" => Ok(OrderStage::Confirmed { at: row.try_get("confirmed_at")? }),
        "cancelled" => Ok(OrderStage::Cancelled {
            reason: reason(row).ok_or(UnknownName).map_err(unreadable("reason"))?,
            at: row.try_get("cancelled_at")?,
        }),
        _ => Err(unreadable("stage")(UnknownName)),
    }
}

/// A column holds a value that no version of this service has written.
fn unreadable<E>(column: &'static str) -> impl FnOnce(E) -> sqlx::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}

/// A name that is unknown to this version.
#[derive(Debug, thiserror::Error)]
#[error("a name that is not known here")]
struct UnknownName;
