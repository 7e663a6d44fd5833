//! Rows of the products table.

use std::collections::BTreeSet;

use shared::fault::Fault;
use sqlx::PgConnection;

use super::{RowCounts, UnreadableRow};
use crate::domain::{
    naming::Sku,
    product::{Product, ProductOffer},
    stock::StockCount,
};

pub(super) struct LoadedProduct {
    pub(super) sku: Sku,
    pub(super) product: Product,
    pub(super) counts: RowCounts,
}

#[derive(sqlx::FromRow)]
pub(super) struct ProductRow {
    sku: String,
    name: String,
    price_minor: i64,
    currency: String,
    active: bool,
    available: i64,
    reserved: i64,
    sold: i64,
    stocked: i64,
    said: i64,
    version: i64,
}

impl TryFrom<ProductRow> for LoadedProduct {
    type Error = UnreadableRow;

    fn try_from(row: ProductRow) -> Result<Self, UnreadableRow> {
        let unreadable = UnreadableRow { table: "products", id: row.sku.clone() };
        let count = |column: i64| u64::try_from(column).ok();
        let read = || {
            let stock = StockCount::from_counts(
                count(row.available)?,
                count(row.reserved)?,
                count(row.sold)?,
                count(row.stocked)?,
            )?;
            let offer =
                ProductOffer::kept(row.name, row.price_minor, row.currency, row.active).ok()?;
            Some((Sku::parse(&row.sku)?, Product { offer, stock }))
        };
        let (sku, product) = read().ok_or(unreadable)?;
        Ok(Self { sku, product, counts: RowCounts { said: row.said, version: row.version } })
    }
}

/// Locks and loads those of the given products that exist.
pub(super) async fn load_for_update(
    conn: &mut PgConnection,
    skus: &BTreeSet<Sku>,
) -> Result<Vec<LoadedProduct>, Fault> {
    if skus.is_empty() {
        return Ok(vec![]);
    }
    let rows: Vec<ProductRow> = sqlx::query_as(
        "SELECT sku, name, price_minor, currency, active, available, reserved, sold, stocked, said,
                version
         FROM products WHERE sku = ANY ($1) ORDER BY sku FOR UPDATE",
    )
    .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(LoadedProduct::try_from).collect::<Result<_, _>>()?)
}

/// Writes the rows whose version follows the stored one; returns their number.
pub(super) async fn save(
    conn: &mut PgConnection,
    rows: &[(&Sku, &Product, RowCounts)],
) -> Result<u64, sqlx::Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let offer = |pick: fn(&ProductOffer) -> &str| {
        rows.iter().map(|(_, product, _)| pick(&product.offer)).collect::<Vec<_>>()
    };
    let stock = |pick: fn(StockCount) -> u64| {
        let counts = rows.iter().map(|(_, product, _)| pick(product.stock).cast_signed());
        counts.collect::<Vec<_>>()
    };
    let written = sqlx::query(
        "INSERT INTO products AS kept
             (sku, name, price_minor, currency, active, available, reserved, sold, stocked, said,
              version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::bool[],
                              $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[],
                              $11::int8[])
         ON CONFLICT (sku) DO UPDATE
         SET name = excluded.name, price_minor = excluded.price_minor,
             currency = excluded.currency, active = excluded.active,
             available = excluded.available, reserved = excluded.reserved, sold = excluded.sold,
             stocked = excluded.stocked, said = excluded.said, version = excluded.version,
             changed_at = now()
         WHERE kept.version = excluded.version - 1",
    )
    .bind(rows.iter().map(|(sku, ..)| sku.as_str()).collect::<Vec<_>>())
    .bind(offer(ProductOffer::name))
    .bind(rows.iter().map(|(_, product, _)| product.offer.price_minor()).collect::<Vec<_>>())
    .bind(offer(ProductOffer::currency))
    .bind(rows.iter().map(|(_, product, _)| product.offer.active()).collect::<Vec<_>>())
    .bind(stock(StockCount::available))
    .bind(stock(StockCount::reserved))
    .bind(stock(StockCount::sold))
    .bind(stock(StockCount::stocked))
    .bind(rows.iter().map(|(.., counts)| counts.said).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., counts)| counts.version).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(written.rows_affected())
}
