//! `GET /orders`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::http::{Json, Problem, ProblemDocument, Query};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api, page_limit,
    view::{OrderView, Status},
};
use crate::store::view::{self, OrdersPage};

/// Which orders.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those that stand there.
    #[param(inline)]
    status: Option<Status>,
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<Uuid>,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderPage {
    /// The orders, youngest first.
    items: Vec<OrderView>,
    /// Where the next page begins, if there may be one.
    next_cursor: Option<Uuid>,
}

/// Orders, youngest first.
#[utoipa::path(
    get,
    path = "/orders",
    tag = "orders",
    params(Which),
    responses(
        (status = 200, description = "A page of orders.", body = OrderPage),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_orders(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<Json<OrderPage>, Problem> {
    let limit = page_limit(which.limit)?;
    let stage = which.status.map(Status::name);
    let page = OrdersPage { stage, before: which.cursor, limit };
    let shown = api.read(async |conn| view::orders(conn, page).await).await?;
    let full = i64::try_from(shown.len()) == Ok(limit);
    let next_cursor = shown.last().filter(|_| full).map(|it| it.order_id);
    Ok(Json(OrderPage { items: shown.into_iter().map(Into::into).collect(), next_cursor }))
}
