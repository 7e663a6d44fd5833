//! `GET /products/{sku}`

use axum::extract::State;
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument, look_up};
use sqlx::PgConnection;

use super::{InventoryApi, problems, view};
use crate::{
    domain::{naming::Sku, product::Product},
    store,
};

/// Shows a product, with its price.
#[utoipa::path(
    get, path = "/products/{sku}", tag = "products", params(("sku" = String, Path, pattern = "^[A-Za-z0-9._-]{1,64}$")),
    responses(
        (status = 200, body = view::ProductView),
        (status = 404, description = "There is no such product", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_product(
    State(api): State<InventoryApi>,
    PathParams(sku): PathParams<String>,
) -> Result<JsonBody<view::ProductView>, Problem> {
    let (sku, product) = find(&api, &sku).await?;
    Ok(JsonBody(view::ProductView::of(&sku, &product)))
}

/// The product that is known by this.
pub(super) async fn find(api: &InventoryApi, text: &str) -> Result<(Sku, Product), Problem> {
    // A text that is not a SKU cannot name a product: 404.
    let sku = Sku::parse(text).ok_or_else(|| problems::unknown(text))?;
    let look = async |conn: &mut PgConnection| store::product(conn, &sku).await;
    let product = look_up(&api.pool, look).await?;
    Ok((sku, product.ok_or_else(|| problems::unknown(text))?))
}
