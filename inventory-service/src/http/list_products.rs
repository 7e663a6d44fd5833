//! `GET /products`

use axum::extract::State;
use shared::http::{Json, Page, Problem, ProblemDocument, Query};

use super::{Api, paging::PageQuery, view};

/// What the shop offers, page by page.
#[utoipa::path(
    get, path = "/products", tag = "products", params(PageQuery),
    responses(
        (status = 200, body = Page<view::Product>),
        (status = 400, description = "The page cannot be read", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_products(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<view::Product>>, Problem> {
    query.read(&api.pool, view::Product::of).await.map(Json)
}
