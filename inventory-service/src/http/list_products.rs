//! `GET /products`

use axum::extract::State;
use shared::http::{JsonBody, ListPage, Problem, ProblemDocument, QueryParams};

use super::{InventoryApi, paging::PageQuery, view};

/// What the shop offers, page by page.
#[utoipa::path(
    get, path = "/products", tag = "products", params(PageQuery),
    responses(
        (status = 200, body = ListPage<view::ProductView>),
        (status = 400, description = "The page cannot be read", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_products(
    State(api): State<InventoryApi>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBody<ListPage<view::ProductView>>, Problem> {
    query.read(&api.pool, view::ProductView::of).await.map(JsonBody)
}
