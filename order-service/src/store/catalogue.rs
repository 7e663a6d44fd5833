//! The replica of the products.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, Row as _};

use super::unreadable;
use crate::domain::{
    catalogue::{ProductOffer, ProductSnapshot, Sku},
    money::{Currency, Money},
};

/// Stores product updates: for each product the update with the highest sequence wins, in
/// whatever order the updates are read.
pub async fn learn(
    conn: &mut PgConnection,
    products: &[&ProductSnapshot],
) -> Result<(), sqlx::Error> {
    // The last update of each product, sorted, so that two batches cannot deadlock.
    let mut last: BTreeMap<&Sku, &ProductSnapshot> = BTreeMap::new();
    for product in products {
        let known = last.entry(&product.sku).or_insert(product);
        if known.sequence < product.sequence {
            *known = product;
        }
    }
    if last.is_empty() {
        return Ok(());
    }
    let product = || last.values().map(|entry| entry.product.as_ref());
    sqlx::query(
        "INSERT INTO products (sku, sequence, name, price_minor, currency, active, changed_at)
         SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[], $5::text[],
                              $6::bool[], $7::timestamptz[])
         ON CONFLICT (sku) DO UPDATE
         SET sequence = excluded.sequence, name = excluded.name,
             price_minor = excluded.price_minor, currency = excluded.currency,
             active = excluded.active, changed_at = excluded.changed_at
         WHERE products.sequence < excluded.sequence",
    )
    .bind(last.keys().map(|sku| sku.as_str()).collect::<Vec<_>>())
    .bind(last.values().map(|entry| entry.sequence).collect::<Vec<_>>())
    .bind(
        product()
            .map(|product_details| product_details.map(|product| product.name.as_str()))
            .collect::<Vec<_>>(),
    )
    .bind(
        product()
            .map(|product_details| product_details.map(|product| product.offer.price.minor()))
            .collect::<Vec<_>>(),
    )
    .bind(
        product()
            .map(|product_details| {
                product_details
                    .map(|product_details| product_details.offer.price.currency().to_string())
            })
            .collect::<Vec<_>>(),
    )
    .bind(
        product()
            .map(|product_details| product_details.map(|product| product.offer.active))
            .collect::<Vec<_>>(),
    )
    .bind(
        product()
            .map(|product_details| {
                product_details.map(|product_details| product_details.changed_at)
            })
            .collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The offers of these products; products that do not exist are missing in the result.
pub async fn offers(
    conn: &mut PgConnection,
    skus: &[&str],
) -> Result<HashMap<Sku, ProductOffer>, sqlx::Error> {
    if skus.is_empty() {
        return Ok(HashMap::new());
    }
    sqlx::query(
        "SELECT sku, price_minor, currency, active
         FROM products WHERE sku = ANY ($1) AND name IS NOT NULL",
    )
    .bind(skus)
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| {
        let currency = Currency::parse(row.try_get("currency")?).map_err(unreadable("currency"))?;
        let price =
            Money::new(row.try_get("price_minor")?, currency).map_err(unreadable("price_minor"))?;
        let sku = Sku::parse(row.try_get("sku")?).map_err(unreadable("sku"))?;
        Ok((sku, ProductOffer { price, active: row.try_get("active")? }))
    })
    .collect()
}
