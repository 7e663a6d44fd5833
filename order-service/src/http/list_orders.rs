//! `GET /orders`

use axum::extract::State;
use serde::Deserialize;
use shared::http::{Json, Page, PageLimit, Problem, ProblemDocument, Query, look_up};
use uuid::Uuid;

use super::{
    Api,
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
    #[param(inline)]
    limit: Option<PageLimit>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<Uuid>,
}

/// Orders, youngest first.
#[utoipa::path(
    get,
    path = "/orders",
    tag = "orders",
    params(Which),
    responses(
        (status = 200, description = "A page of orders.", body = Page<OrderView>),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_orders(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<Json<Page<OrderView>>, Problem> {
    let limit = which.limit.unwrap_or_default();
    let stage = which.status.map(Status::name);
    let page = OrdersPage { stage, before: which.cursor, limit: limit.rows() };
    let shown = look_up(&api.pool, async |conn| view::orders(conn, page).await).await?;
    Ok(Json(Page::of(shown, limit, |it| it.order_id.to_string(), OrderView::from)))
}
