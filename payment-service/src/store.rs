//! All SQL of this service: one statement per batch of payments.
//!
//! **Architecture invariant:** rows are locked in the order of their ids, so two batches cannot
//! deadlock. If two transactions insert the same row, the version check fails in the second, which
//! is rolled back; its batch is processed again.

use std::collections::HashMap;

use shared::fault::{Fault, TransactionCollision};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::payment::{Payment, PaymentStage};

pub(crate) use self::row::review_code;

use self::row::{RowColumns, StoredRow};

pub(crate) mod open;
mod row;

/// A payment and what is counted beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PaymentRow {
    pub(crate) payment: Payment,
    /// Number of messages published about it.
    pub(crate) said: i64,
    /// The version: the number of changes.
    pub(crate) version: i64,
    /// When its charge was asked for: the key of the charge was used later, if at all.
    pub(crate) charge_asked_at: Option<OffsetDateTime>,
}

impl PaymentRow {
    /// A payment of which nothing has been heard.
    pub(crate) fn unheard() -> Self {
        Self { payment: Payment::Unheard, said: 0, version: 0, charge_asked_at: None }
    }
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

/// Locks the rows of these orders and reads them; an order without a row has had no message.
pub(crate) async fn load_for_update(
    conn: &mut PgConnection,
    order_ids: &[Uuid],
) -> Result<HashMap<Uuid, PaymentRow>, sqlx::Error> {
    let rows: Vec<StoredRow> = sqlx::query_as(
        "SELECT * FROM payments WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(order_ids)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (order_id, said, version) = (row.order_id, row.said, row.version);
            let charge_asked_at = row.charge_asked_at;
            Ok((order_id, PaymentRow { payment: row.payment()?, said, version, charge_asked_at }))
        })
        .collect()
}

/// Stores the changed payments.
///
/// `FOR UPDATE` cannot lock what is not there: of two transactions that make the same row, the
/// second finds a version that it did not expect.
pub(crate) async fn save(
    conn: &mut PgConnection,
    changed: &[(Uuid, &PaymentRow)],
    at: OffsetDateTime,
) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    let rows = RowColumns::of(changed);
    let saved = sqlx::query(
        "INSERT INTO payments AS kept (order_id, stage, amount_minor, currency, method, charge_id,
             charged_minor, charged_currency, refund_id, review, failure, decline_code, said,
             version, charge_asked_at, created_at, updated_at)
         SELECT *, $16, $16
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
    .bind(rows.order_id)
    .bind(rows.stage)
    .bind(rows.amount_minor)
    .bind(rows.currency)
    .bind(rows.method)
    .bind(rows.charge_id)
    .bind(rows.charged_minor)
    .bind(rows.charged_currency)
    .bind(rows.refund_id)
    .bind(rows.review)
    .bind(rows.failure)
    .bind(rows.decline_code)
    .bind(rows.said)
    .bind(rows.version)
    .bind(rows.charge_asked_at)
    .bind(at)
    .execute(conn)
    .await?;
    if saved.rows_affected() == changed.len() as u64 {
        return Ok(());
    }
    Err(Fault::transient(TransactionCollision))
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
    // Two statements, because one that served both would be planned for neither.
    let query = match stage {
        None => sqlx::query_as(
            "SELECT * FROM payments WHERE order_id < $1 ORDER BY order_id DESC LIMIT $2",
        ),
        Some(_) => sqlx::query_as(
            "SELECT * FROM payments WHERE order_id < $1 AND stage = $3
             ORDER BY order_id DESC LIMIT $2",
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
