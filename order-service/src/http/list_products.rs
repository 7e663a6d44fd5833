//! `GET /products`

use axum::extract::State;
use serde::Deserialize;
use shared::http::{
    JsonBody, ListPage, PageLimit, Problem, ProblemDocument, QueryParams, look_up, problem,
};

use super::{OrderApi, view::ProductView};
use crate::{domain::catalogue::Sku, store::view};

/// The products to list, a page at a time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProductQuery {
    /// At most so many.
    #[param(inline)]
    limit: Option<PageLimit>,
    /// Those that come after a page: its `next_cursor`.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    cursor: Option<String>,
}

/// Products, by SKU, as this service has heard of them last.
#[utoipa::path(
    get,
    path = "/products",
    tag = "products",
    params(ProductQuery),
    responses(
        (status = 200, description = "A page of products.", body = ListPage<ProductView>),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_products(
    State(api): State<OrderApi>,
    QueryParams(which): QueryParams<ProductQuery>,
) -> Result<JsonBody<ListPage<ProductView>>, Problem> {
    let limit = which.limit.unwrap_or_default();
    let after = which.cursor.as_deref().map(Sku::parse).transpose();
    let after = after.map_err(|bad| problem::MALFORMED_REQUEST.detail(format!("cursor: {bad}")))?;
    let after = after.as_ref().map(Sku::as_str);
    let look = async |conn: &mut _| view::products(conn, after, limit.rows()).await;
    let shown = look_up(&api.pool, look).await?;
    Ok(JsonBody(ListPage::of(shown, limit, |product| product.sku.clone(), ProductView::from)))
}
