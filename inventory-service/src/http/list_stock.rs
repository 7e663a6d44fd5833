//! `GET /stock`

use axum::extract::State;
use shared::http::{Json, Page, Problem, ProblemDocument, Query};

use super::{Api, paging::PageQuery, view};

/// How much there is of each product, page by page.
#[utoipa::path(
    get, path = "/stock", tag = "stock", params(PageQuery),
    responses(
        (status = 200, body = Page<view::Stock>),
        (status = 400, description = "The page cannot be read", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_stock(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<view::Stock>>, Problem> {
    query.read(&api.pool, |sku, product| view::Stock::of(sku, product.stock)).await.map(Json)
}
