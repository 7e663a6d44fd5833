//! `GET /orders`

use axum::extract::State;
use serde::Deserialize;
use shared::http::{JsonBody, ListPage, PageLimit, Problem, ProblemDocument, QueryParams, look_up};
use uuid::Uuid;

use super::{
    OrderApi,
    view::{OrderStatus, OrderView},
};
use crate::store::view::{self, OrdersPage};

/// The orders to list: by stage, a page at a time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrderQuery {
    /// Only those that stand there.
    #[param(inline)]
    status: Option<OrderStatus>,
    /// At most so many.
    #[param(inline)]
    limit: Option<PageLimit>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<Uuid>,
}

/// Lists orders, the youngest first.
#[utoipa::path(
    get,
    path = "/orders",
    tag = "orders",
    params(OrderQuery),
    responses(
        (status = 200, description = "A page of orders.", body = ListPage<OrderView>),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_orders(
    State(api): State<OrderApi>,
    QueryParams(which): QueryParams<OrderQuery>,
) -> Result<JsonBody<ListPage<OrderView>>, Problem> {
    let limit = which.limit.unwrap_or_default();
    let stage = which.status.map(OrderStatus::name);
    let page = OrdersPage { stage, before: which.cursor, limit: limit.rows() };
    let shown = look_up(&api.pool, async |conn| view::orders(conn, page).await).await?;
    Ok(JsonBody(ListPage::of(shown, limit, |order| order.order_id.to_string(), OrderView::from)))
}
