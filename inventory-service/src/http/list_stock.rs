//! `GET /stock`

use axum::extract::State;
use shared::http::{JsonBody, ListPage, Problem, ProblemDocument, QueryParams};

use super::{InventoryApi, paging::PageQuery, view};

/// How much there is of each product, page by page.
#[utoipa::path(
    get, path = "/stock", tag = "stock", params(PageQuery),
    responses(
        (status = 200, body = ListPage<view::StockView>),
        (status = 400, description = "The page cannot be read", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_stock(
    State(api): State<InventoryApi>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBody<ListPage<view::StockView>>, Problem> {
    query
        .read(&api.pool, |sku, product| view::StockView::of(sku, product.stock))
        .await
        .map(JsonBody)
}
