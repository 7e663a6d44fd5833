//! `GET /products`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::http::{Json, Problem, ProblemDocument, Query, problem};
use utoipa::ToSchema;

use super::{Api, page_limit, view::ProductView};
use crate::{domain::catalogue::Sku, store::view};

/// Which products.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<String>,
}

/// A page of products.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductPage {
    /// The products, by SKU.
    items: Vec<ProductView>,
    /// Where the next page begins, if there may be one.
    next_cursor: Option<String>,
}

/// Products, by SKU, as this service has heard of them last.
#[utoipa::path(
    get,
    path = "/products",
    tag = "products",
    params(Which),
    responses(
        (status = 200, description = "A page of products.", body = ProductPage),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_products(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<Json<ProductPage>, Problem> {
    let limit = page_limit(which.limit)?;
    let after = which.cursor.as_deref().map(Sku::parse).transpose();
    let after = after.map_err(|bad| problem::MALFORMED_REQUEST.detail(format!("cursor: {bad}")))?;
    let after = after.as_ref().map(Sku::as_str);
    let shown = api.read(async |conn| view::products(conn, after, limit).await).await?;
    let full = i64::try_from(shown.len()) == Ok(limit);
    let next_cursor = shown.last().filter(|_| full).map(|it| it.sku.clone());
    Ok(Json(ProductPage { items: shown.into_iter().map(Into::into).collect(), next_cursor }))
}
