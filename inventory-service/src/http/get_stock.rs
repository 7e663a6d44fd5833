//! `GET /stock/{sku}`

use axum::extract::State;
use shared::http::{JsonBody, PathParams, Problem, ProblemDocument};

use super::{InventoryApi, get_product::find, view};

/// How much there is of one product.
#[utoipa::path(
    get, path = "/stock/{sku}", tag = "stock", params(("sku" = String, Path, pattern = "^[A-Za-z0-9._-]{1,64}$")),
    responses(
        (status = 200, body = view::StockView),
        (status = 404, description = "There is no such product", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_stock(
    State(api): State<InventoryApi>,
    PathParams(sku): PathParams<String>,
) -> Result<JsonBody<view::StockView>, Problem> {
    let (sku, product) = find(&api, &sku).await?;
    Ok(JsonBody(view::StockView::of(&sku, product.stock)))
}
