//! Reads without locks, for the pages of the REST API.

use shared::fault::Fault;
use sqlx::PgConnection;

use super::product_row::{LoadedProduct, ProductRow};
use crate::domain::{naming::Sku, product::Product};

pub(crate) async fn product(conn: &mut PgConnection, sku: &Sku) -> Result<Option<Product>, Fault> {
    let row: Option<ProductRow> = sqlx::query_as(
        "SELECT sku, name, price_minor, currency, active, available, reserved, sold, stocked, said,
                version
         FROM products WHERE sku = $1",
    )
    .bind(sku.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(row.map(LoadedProduct::try_from).transpose()?.map(|loaded| loaded.product))
}

/// Up to `n_max` products after a SKU, in the order of the SKUs.
pub(crate) async fn listed(
    conn: &mut PgConnection,
    after: Option<&Sku>,
    n_max: i64,
) -> Result<Vec<(Sku, Product)>, Fault> {
    let rows: Vec<ProductRow> = sqlx::query_as(
        "SELECT sku, name, price_minor, currency, active, available, reserved, sold, stocked, said,
                version
         FROM products WHERE sku > $1 ORDER BY sku LIMIT $2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(n_max)
    .fetch_all(conn)
    .await?;
    let loaded = rows.into_iter().map(LoadedProduct::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(loaded.into_iter().map(|product| (product.sku, product.product)).collect())
}
