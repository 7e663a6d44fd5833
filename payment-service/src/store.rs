//! All SQL of this service: one statement per batch of payments.
//!
//! **Architecture invariant:** rows are locked in the order of their ids, so that two batches cannot
//! deadlock.

use std::collections::{BTreeSet, HashMap};

use shared::{
    fault::Fault,
    locked_rows::{self, LoadedRow, LockedRows},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::payment::{Payment, PaymentStage},
    request::PaymentRequest,
};

use self::row::{RowColumns, StoredRow};

pub(crate) mod open;
mod row;

/// The payments of a batch, and what is stored with them.
#[derive(Clone, Debug)]
pub(crate) struct PaymentRows {
    pub(crate) locked: LockedRows<Uuid, Payment>,
    /// When a payment's charge was asked for: the key of the charge was used later, if at all.
    pub(crate) charge_asked_at: HashMap<Uuid, OffsetDateTime>,
}

/// A payment as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShownPayment {
    pub(crate) order_id: Uuid,
    pub(crate) payment: Payment,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// A row that cannot be converted to a payment.
#[derive(Debug, thiserror::Error)]
#[error("the row of payment {order_id} is at {stage} and lacks what belongs to it")]
struct IncompleteRow {
    order_id: Uuid,
    stage: String,
}

/// Locks the payments of these requests until the transaction ends, and reads them; an order without
/// a row has had no message.
pub(crate) async fn load_for_update(
    conn: &mut PgConnection,
    requests: &[PaymentRequest],
) -> Result<PaymentRows, Fault> {
    let order_ids: BTreeSet<Uuid> = requests.iter().map(|request| request.order_id).collect();
    lock(conn, &order_ids.into_iter().collect::<Vec<_>>()).await
}

/// Locks the payments of these orders until the transaction ends, and reads them.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    order_ids: &[Uuid],
) -> Result<PaymentRows, Fault> {
    let rows: Vec<StoredRow> = sqlx::query_as(
        "SELECT * FROM payments WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await?;
    let asked_at = |row: &StoredRow| Some((row.order_id, row.charge_asked_at?));
    let charge_asked_at = rows.iter().filter_map(asked_at).collect();
    let loaded = rows.into_iter().map(|row| {
        let (order_id, said, version) = (row.order_id, row.said, row.version);
        Ok((order_id, LoadedRow { state: row.payment()?, said, version }))
    });
    let loaded = loaded.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(PaymentRows { locked: LockedRows::new(loaded), charge_asked_at })
}

/// Stores the changed payments.
pub(crate) async fn save(conn: &mut PgConnection, rows: &PaymentRows) -> Result<(), Fault> {
    let changed = rows.locked.changed();
    if changed.is_empty() {
        return Ok(());
    }
    let columns = RowColumns::of(&changed, &rows.charge_asked_at);
    let saved = sqlx::query(
        "INSERT INTO payments AS kept (order_id, stage, amount_minor, currency, method, charge_id,
             charged_minor, charged_currency, refund_id, review, failure, decline_code, said,
             version, charge_asked_at, created_at, updated_at)
         SELECT *, now(), now()
         FROM unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[],
             $7::int8[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int8[],
             $14::int8[], $15::timestamptz[])
         ON CONFLICT (order_id) DO UPDATE SET
             stage = excluded.stage, amount_minor = excluded.amount_minor,
             currency = excluded.currency, method = excluded.method,
             charge_id = excluded.charge_id, charged_minor = excluded.charged_minor,
             charged_currency = excluded.charged_currency, refund_id = excluded.refund_id,
             review = excluded.review, failure = excluded.failure,
             decline_code = excluded.decline_code, said = excluded.said,
             version = excluded.version, charge_asked_at = excluded.charge_asked_at,
             updated_at = excluded.updated_at
         WHERE kept.version = excluded.version - 1",
    )
    .bind(columns.order_id)
    .bind(columns.stage)
    .bind(columns.amount_minor)
    .bind(columns.currency)
    .bind(columns.method)
    .bind(columns.charge_id)
    .bind(columns.charged_minor)
    .bind(columns.charged_currency)
    .bind(columns.refund_id)
    .bind(columns.review)
    .bind(columns.failure)
    .bind(columns.decline_code)
    .bind(columns.said)
    .bind(columns.version)
    .bind(columns.charge_asked_at)
    .execute(conn)
    .await?;
    locked_rows::all_written(saved.rows_affected(), changed.len())
}

/// One payment, without locking it.
pub(crate) async fn find(
    conn: &mut PgConnection,
    order_id: Uuid,
) -> Result<Option<ShownPayment>, sqlx::Error> {
    let row: Option<StoredRow> = sqlx::query_as("SELECT * FROM payments WHERE order_id = $1")
        .bind(order_id)
        .fetch_optional(conn)
        .await?;
    row.map(StoredRow::shown).transpose()
}

/// A page of payments, newest orders first: of one stage or of all, older than `before`.
pub(crate) async fn page(
    conn: &mut PgConnection,
    stage: Option<PaymentStage>,
    before: Option<Uuid>,
    n_max: i64,
) -> Result<Vec<ShownPayment>, sqlx::Error> {
    // Two statements, because one that served both would be planned for neither. With `stage = $3` the
    // planner takes the primary key's order and reads past all payments at other stages, when it
    // believes that most are at this one: in the order of both columns, there is one index that serves.
    let query = match stage {
        None => sqlx::query_as(
            "SELECT * FROM payments WHERE order_id < $1 ORDER BY order_id DESC LIMIT $2",
        ),
        Some(_) => sqlx::query_as(
            "SELECT * FROM payments WHERE (stage, order_id) < ($3, $1) AND stage >= $3
             ORDER BY stage DESC, order_id DESC LIMIT $2",
        ),
    };
    let query = query.bind(before.unwrap_or(Uuid::max())).bind(n_max);
    let query = match stage {
        None => query,
        Some(stage) => query.bind(stage.code()),
    };
    let rows: Vec<StoredRow> = query.fetch_all(conn).await?;
    rows.into_iter().map(StoredRow::shown).collect()
}
